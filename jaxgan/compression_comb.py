"""The quality of a JPEG file, read off a picture that was decoded from it.

Every coefficient of such a picture is a multiple of its step, but for the rounding of pixels: over many coefficients
the steps show like the teeth of a comb. Larger steps that still fit are the likelier ones.

References:
  Fan & de Queiroz, "Identification of Bitmap Compression History: JPEG Detection and Quantizer Estimation", 2003, IEEE
  Transactions on Image Processing 12(2).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Array, Float

from jaxgan import jpeg_intervals
from jaxgan.degradations import JPEG, Degradation, observed_pixels, parts_of
from jaxgan.degradations.jpeg import BLOCK, tables
from jaxgan.pooled_mean import pool

ERROR = 0.35
"""Standard deviation, in levels, of a coefficient whose pixels were rounded."""

STRAY = 0.05
"""The share of coefficients that are no multiples, as their pixels were clipped."""

ENOUGH = 20
"""A quarter of the picture with fewer coefficients to tell from counts as the picture as a whole."""

LEAST = 1.5
"""Smaller coefficients are taken for zeros, which are multiples of everything."""


def losses(
    observed: Float[Array, "h w 3"], degradation: Degradation, qualities: np.ndarray
) -> Float[np.ndarray, "k 4"]:
    """Computes the negative logarithm of the likelihood of each quality, per coefficient, for quarters of a picture.

    Args:
      observed: a picture in [-1, 1] that was decoded from a file, and perhaps has holes.
      degradation: the operator that led to it, with a `JPEG` in it.
      qualities: whole numbers from 1 to 100.
    Returns:
      A row for each quality; zeros where no coefficient tells.
    """
    (jpeg,) = (part for part in parts_of(degradation) if isinstance(part, JPEG))
    factor = int(jpeg.factor)
    seen = observed_pixels(degradation, observed.shape)
    known = np.ones(observed.shape) * (1.0 if seen is None else np.asarray(seen)[..., None])
    small = pool(np.asarray(observed, np.float64), factor)
    luminance = jpeg_intervals.coefficients(small, jpeg.subsampling)[0]  # [a, 8, b, 8]
    is_known = pool(known, factor)[..., 0] == 1
    rows, columns = (side // BLOCK * BLOCK for side in is_known.shape)
    blocks = is_known[:rows, :columns].reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK).all((1, 3))
    luminance = luminance[: blocks.shape[0], :, : blocks.shape[1]]
    is_told = (np.abs(luminance) > LEAST) & blocks[:, None, :, None]
    down, _, across, _ = np.nonzero(is_told)
    quarter = 2 * (2 * down >= blocks.shape[0]) + (2 * across >= blocks.shape[1])
    count = np.bincount(quarter, minlength=4)
    result = []
    for quality in qualities:
        steps = np.broadcast_to(tables(int(quality))[0][None, :, None, :], luminance.shape)[is_told]
        nearest = np.rint(luminance[is_told] / steps)
        error = (luminance[is_told] - nearest * steps) / ERROR
        tooth = np.where(nearest == 0, 0, steps * np.exp(-(error**2) / 2) / (ERROR * np.sqrt(2 * np.pi)))
        sums = np.bincount(quarter, weights=-np.log((1 - STRAY) * tooth + STRAY), minlength=4)
        whole_picture = sums.sum() / max(count.sum(), 1)
        result.append(np.where(count < ENOUGH, whole_picture, sums / np.maximum(count, 1)))
    return np.array(result)
