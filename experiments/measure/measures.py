"""How good a restored face is: accurate, faithful to what was observed, the same person, and a plausible latent."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.runs import report
from jaxgan import degradations as degradations_lib
from jaxgan import images, latents
from jaxgan.generator import Generator
from jaxgan.lpips import LPIPS
from jaxgan.photos import identity

TITLES = {
    "psnr_truth": "PSNR, truth (dB)",
    "ssim_truth": "SSIM, truth",
    "lpips_truth": "LPIPS, truth",
    "psnr_observed": "PSNR, observation (dB)",
    "ssim_observed": "SSIM, observation",
    "lpips_observed": "LPIPS, observation",
    "identity": "identity distance",
    "realism": "distance of w",
}
"""Accuracy is measured against the truth, fidelity against the observation after degrading the result again."""


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


def latent_distance(whitening: Whitening, ws: Float[Array, "num_ws w_dim"]) -> float:
    """Mahalanobis distance of the rows of ws from the mean latent, over `sqrt(w_dim)`, root mean square.

    About 1 for latents that come out of the mapping network; the larger, the less plausible.
    """
    white = (ws - whitening.w_avg[None, :]) @ whitening.inverse_root
    return float(jnp.sqrt(jnp.mean(white**2)))


def measure(
    lpips: LPIPS,
    *,
    truth: Float[Array, "h w 3"],
    observed: Float[Array, "h w 3"],
    restored: Float[Array, "h w 3"],
    degraded_again: Float[Array, "h w 3"],
) -> dict[str, float]:
    """PSNR, SSIM and LPIPS, of the image and after degrading it again.

    PSNR and SSIM are those of scikit-image on RGB of 8 bits with a data range of 255; LPIPS is VGG16, v0.1.

    Returns:
      Under the names of `TITLES`.
    """
    against = {"truth": (restored, truth), "observed": (degraded_again, observed)}
    row = {
        f"{name}_{which}": value
        for which, pair in against.items()
        for name, value in report.compare(lpips, *pair).items()
    }
    return row


def identity_distances(truths: Float[Array, "n h w 3"], restored: Float[Array, "n h w 3"]) -> list[float]:
    """How far apart the faces of each pair are (`identity.distance`); NaN if one of them has none."""

    def describe(image: Float[Array, "h w 3"]) -> np.ndarray | None:
        return identity.descriptor(images.to_uint8(np.asarray(image)))

    pairs = [(describe(truth), describe(image)) for truth, image in zip(truths, restored, strict=True)]
    return [math.nan if a is None or b is None else identity.distance(a, b) for a, b in pairs]


@jax.jit
def degrade_all(degradations, batch: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Degrades each image of a batch by its own degradation; holes are filled with what LPIPS maps to zero."""
    return jax.vmap(degradations_lib.observe)(degradations, batch)


def observe(degradations, truths: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """What a camera would have stored of each image: degraded, clipped and rounded to 8 bits."""
    return jnp.asarray(images.to_float(images.to_uint8(np.asarray(degrade_all(degradations, truths)))))
