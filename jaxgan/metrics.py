"""Measures how near a result is to truth and observation, whether it shows the same person, and how plausible w is."""

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
      lpips: the distance to measure with.
      image, reference: images of the same shape with values in [-1, 1]; values outside are clipped.
    Returns:
      A dict of four numbers. "psnr" (in dB, inf where the two are equal) and "ssim" are computed by scikit-image over
      RGB with a data range of 255. "lpips" is the distance at full size, and "lpips_size" is that size in pixels.
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
    """Compares a result with the truth, which gives its accuracy, and with the observation, which gives its fidelity.

    Args:
      lpips: the distance to measure with.
      truth: the image before it was degraded, or None if nobody knows it.
      observed: the degraded image.
      reconstruction: the result.
      degraded_again: the result after the degradation, which should look like `observed`.
    Returns:
      The measures of `compare` under "against_observed" and, where there is a truth, under "against_truth".
    """
    pairs = {"against_observed": (degraded_again, observed)}
    if truth is not None:
        pairs["against_truth"] = (reconstruction, truth)
    return {name: compare(lpips, *pair) for name, pair in pairs.items()}


def columns(measured: dict[str, dict[str, float]]) -> dict[str, float]:
    """Makes one row of a table of the result of `measure`: "psnr_truth", "psnr_observed", ..., and one "lpips_size"."""
    row = {
        f"{name}_{against.removeprefix('against_')}": value
        for against, values in measured.items()
        for name, value in values.items()
        if name != "lpips_size"
    }
    return row | {"lpips_size": measured["against_observed"]["lpips_size"]}


def lpips_name(size: int) -> str:
    """Names LPIPS together with the size of the images, since distances at different sizes are different numbers."""
    return f"LPIPS at {size} px"


def identity_distances(
    describe: Callable[[np.ndarray], np.ndarray | None],
    truths: Iterable[Float[ArrayLike, "h w 3"]],
    reconstructions: Iterable[Float[ArrayLike, "h w 3"]],
) -> list[float]:
    """Measures how far apart the persons of each pair of images are.

    Args:
      describe: a function such as `jaxgan.photos.identity.descriptor`, from a uint8 picture `[H, W, 3]` to the
        descriptor of the face in it, or to None where there is no face.
      truths, reconstructions: the pairs of images, with values in [-1, 1].
    Returns:
      The Euclidean distance of the descriptors of each pair; NaN where a picture has no face.
    """

    def describe_image(image: Float[ArrayLike, "h w 3"]) -> np.ndarray | None:
        return describe(images.to_uint8(np.asarray(image)))

    pairs = [(describe_image(a), describe_image(b)) for a, b in zip(truths, reconstructions, strict=True)]
    return [math.nan if a is None or b is None else float(np.linalg.norm(a - b)) for a, b in pairs]


class Whitening(NamedTuple):
    """The normal distribution of w under the mapping network.

    Attributes:
      w_avg: the mean.
      inverse_root: a matrix `A` with `A A^T` the inverse of the covariance.
    """

    w_avg: Float[Array, " w_dim"]
    inverse_root: Float[Array, "w_dim w_dim"]


def whitening(generator: Generator, *, samples: int = 10_000) -> Whitening:
    """Estimates mean and covariance of w from mapped latents."""
    w = np.asarray(latents.mapped_samples(generator, samples=samples), np.float64)
    values, vectors = np.linalg.eigh(np.cov(w.T))
    floor = 1e-6 * values[-1]  # directions without spread, if there are any, count as very narrow ones
    inverse_root = vectors / np.sqrt(np.maximum(values, floor))
    return Whitening(jnp.asarray(w.mean(0), jnp.float32), jnp.asarray(inverse_root, jnp.float32))


def latent_distance(whitening: Whitening, ws: Float[Array, "num_ws w_dim"]) -> float:
    """Computes the root mean square of the Mahalanobis distances of the rows of ws from the mean, over `sqrt(w_dim)`.

    It is about 1 for latents that come out of the mapping network; larger distances are less plausible.
    """
    with precision.products("float32"):
        white = (ws - whitening.w_avg[None, :]) @ whitening.inverse_root
    return float(jnp.sqrt(jnp.mean(white**2)))
