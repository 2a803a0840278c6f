"""How good a result is: near the truth, faithful to what was observed, the same person, and a plausible latent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from jaxgan import images, latents, precision
from jaxgan.generator import Generator
from jaxgan.lpips import LPIPS


def compare(lpips: LPIPS, image: Float[ArrayLike, "h w 3"], reference: Float[ArrayLike, "h w 3"]) -> dict[str, float]:
    """Compares two images after rounding both to 8 bits, as files would hold them.

    Args:
      lpips: the distance.
      image, reference: same shape, values in [-1, 1]; others are clipped.
    Returns:
      "psnr" in dB (inf where the two are equal) and "ssim" as scikit-image computes them over RGB with a data range of
      255; "lpips", the distance of VGG16, v0.1, at full size, and that size in pixels, "lpips_size".
    Raises:
      TypeError: the values are integers.
      ValueError: the shapes differ, or values are far outside of [-1, 1].
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    image, reference = np.asarray(image), np.asarray(reference)
    images.check_image(image, "image")
    images.check_image(reference, "reference")
    a, b = images.to_uint8(image), images.to_uint8(reference)
    if a.shape != b.shape:
        raise ValueError(f"the image has shape {a.shape}, the reference {b.shape}; expected equal shapes.")
    return {
        "psnr": math.inf if (a == b).all() else float(peak_signal_noise_ratio(b, a, data_range=255)),
        "ssim": float(structural_similarity(b, a, data_range=255, channel_axis=-1)),
        "lpips": float(_lpips(lpips, images.to_float(a), images.to_float(b))),
        "lpips_size": a.shape[0],
    }


@jax.jit
def _lpips(lpips: LPIPS, image_a: Float[Array, "h w 3"], image_b: Float[Array, "h w 3"]) -> Float[Array, ""]:
    with precision.products("float32"):
        return lpips(image_a, image_b)


def measure(
    lpips: LPIPS,
    *,
    truth: Float[ArrayLike, "h w 3"] | None,
    observed: Float[ArrayLike, "h w 3"],
    reconstruction: Float[ArrayLike, "h w 3"],
    degraded_again: Float[ArrayLike, "h w 3"],
) -> dict[str, dict[str, float]]:
    """Compares a result with what is known: accuracy against the truth, fidelity against the observation.

    Args:
      lpips: the distance.
      truth: the image before it was degraded; None if nobody knows it.
      observed: what was observed of it.
      reconstruction: the result.
      degraded_again: the result after the degradation, which should look like `observed`.
    Returns:
      What `compare` gives, under "against_observed" and, where there is a truth, "against_truth".
    """
    pairs = {"against_observed": (degraded_again, observed)}
    if truth is not None:
        pairs["against_truth"] = (reconstruction, truth)
    return {name: compare(lpips, *pair) for name, pair in pairs.items()}


def columns(measured: dict[str, dict[str, float]]) -> dict[str, float]:
    """What `measure` gives as one row of a table: "psnr_truth", "psnr_observed", ..., and one "lpips_size"."""
    row = {
        f"{name}_{against.removeprefix('against_')}": value
        for against, values in measured.items()
        for name, value in values.items()
        if name != "lpips_size"
    }
    return row | {"lpips_size": measured["against_observed"]["lpips_size"]}


def lpips_name(size: int) -> str:
    """LPIPS as it is called wherever people read it: distances at different sizes are different numbers."""
    return f"LPIPS at {size} px"


def identity_distances(
    describe: Callable[[np.ndarray], np.ndarray | None],
    truths: Iterable[Float[ArrayLike, "h w 3"]],
    reconstructions: Iterable[Float[ArrayLike, "h w 3"]],
) -> list[float]:
    """How far apart the persons of each pair of images are.

    Args:
      describe: gives the descriptor of the face in a uint8 picture `[H, W, 3]`, or None where there is no face:
        `jaxgan.photos.identity.descriptor`.
      truths, reconstructions: the pairs, values in [-1, 1].
    Returns:
      The Euclidean distances of their descriptors; NaN where a picture has no face.
    """

    def describe_image(image: Float[ArrayLike, "h w 3"]) -> np.ndarray | None:
        return describe(images.to_uint8(np.asarray(image)))

    pairs = [(describe_image(a), describe_image(b)) for a, b in zip(truths, reconstructions, strict=True)]
    return [math.nan if a is None or b is None else float(np.linalg.norm(a - b)) for a, b in pairs]


class Whitening(NamedTuple):
    """The normal distribution of w under the mapping network.

    Attributes:
      w_avg: mean.
      inverse_root: `A` with `A A^T` the inverse of the covariance.
    """

    w_avg: Float[Array, " w_dim"]
    inverse_root: Float[Array, "w_dim w_dim"]


def whitening(generator: Generator, *, samples: int = 10_000) -> Whitening:
    """Estimates mean and covariance of w from mapped latents."""
    w = np.asarray(latents.mapped_samples(generator, samples=samples), np.float64)
    values, vectors = np.linalg.eigh(np.cov(w.T))
    floor = 1e-6 * values[-1]  # directions of no spread, if the mapping has any, count as very narrow ones
    inverse_root = vectors / np.sqrt(np.maximum(values, floor))
    return Whitening(jnp.asarray(w.mean(0), jnp.float32), jnp.asarray(inverse_root, jnp.float32))


def latent_distance(whitening: Whitening, ws: Float[Array, "num_ws *rows w_dim"]) -> float:
    """Mahalanobis distance of the rows of ws from the mean latent, over `sqrt(w_dim)`, root mean square.

    It is about 1 for latents that come out of the mapping network; the larger, the less plausible.
    """
    with precision.products("float32"):
        white = (ws - jnp.broadcast_to(whitening.w_avg, ws.shape)) @ whitening.inverse_root
    return float(jnp.sqrt(jnp.mean(white**2)))
