"""The inverse of averaging over tiles, with white noise: `S A' (A S A' + s^2)^-1`, which has a closed form.

A cosine of the large picture is, averaged over tiles, a weaker cosine of the small one: those of several frequencies
fold together, none mix. So `A S A'` is diagonal in the DCT of the small picture.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import fft

from jaxgan import spectra
from jaxgan.conditional_mean import Covariance

Small = Float[np.ndarray, "_ _ 3"]


def pool(levels: Float[np.ndarray, "h w 3"], factor: int) -> Small:
    """The mean over tiles, a pixel per tile; what is left at the sides is dropped."""
    height, width = (side // factor for side in levels.shape[:2])
    return levels[: height * factor, : width * factor].reshape(height, factor, width, factor, 3).mean((1, 3))


def degraded_variance(covariance: Covariance, factor: int) -> Small:
    """The variance of the coefficients of small pictures: the diagonal of `A S A'`."""
    rows, columns = (_response(size, factor) ** 2 for size in covariance.variance.shape[:2])
    return np.einsum("yh,xw,hwc->yxc", rows, columns, covariance.variance, optimize=True)


def conditional_mean(
    covariance: Covariance, factor: int, degraded: Small, noise: float, residual: Small
) -> Float[np.ndarray, "h w 3"]:
    """The mean of the pictures of covariance S of which a small residual may be the noisy image.

    Args:
      covariance, factor, noise: S, the side of a tile, and s.
      degraded: `degraded_variance` of the two.
      residual: what was observed, a pixel per tile.
    """
    colours, variance = covariance
    small = spectra.from_coefficients(spectra.coefficients(residual, colours) / (degraded + noise**2 + 1e-15), colours)
    transposed = small.repeat(factor, 0).repeat(factor, 1) / factor**2
    return spectra.from_coefficients(variance * spectra.coefficients(transposed, colours), colours)


def _response(size: int, factor: int) -> Float[np.ndarray, "small large"]:
    """How much of each cosine of the small row is in each averaged one of the large row."""
    cosines = fft.idct(np.eye(size), axis=0, norm="ortho")
    return fft.dct(cosines.reshape(size // factor, factor, size).mean(1), axis=0, norm="ortho")
