"""What a JPEG file tells of an image: for each coefficient an interval, and nothing about where in it.

The inverse of a compression moves every coefficient into its interval, and no farther.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from jaxgan.degradations.jpeg import BLOCK, JPEG, TO_YCBCR, cosines, enlargement
from jaxgan.pooled_mean import pool

Image = Float[np.ndarray, "_ _ 3"]
Plane = Float[np.ndarray, "_ _"]
Blocks = Float[np.ndarray, "a 8 b 8"]
"""Coefficients: block down, frequency down, block across, frequency across."""


def complete(jpeg: JPEG, observed: Image, x: Image) -> Image:
    """Moves the coefficients of an image into the intervals that an observation tells.

    Args:
      jpeg: the compression.
      observed: what it left, in [-1, 1].
      x: an image in about [-1, 1].
    Returns:
      The image, not clipped; a change of colours is the same for all pixels that share one.
    """
    factor = int(jpeg.factor)
    seen, own = (pool(image, factor) for image in (observed, x))
    changes = []
    steps = (jpeg.luminance, jpeg.chrominance, jpeg.chrominance)
    pairs = zip(of_observation(seen, jpeg), coefficients(own, jpeg.subsampling), steps, strict=True)
    for known, values, step in pairs:
        width = np.asarray(step, np.float64)[None, :, None, :]
        whole = np.rint(known / width)
        changes.append(_from_blocks(np.clip(values, (whole - 0.5) * width, (whole + 0.5) * width) - values))
    down, across = jpeg.subsampling
    colours = (change.repeat(down, 0).repeat(across, 1) for change in changes[1:])
    change = np.stack([changes[0], *colours], -1) @ np.linalg.inv(TO_YCBCR).T / 127.5
    height, width = seen.shape[:2]
    return x + change[:height, :width].repeat(factor, 0).repeat(factor, 1)


def error(jpeg: JPEG, x: Image) -> float:
    """Standard deviation of what a compression loses of an image like `x`, in units of the range [0, 1].

    A coefficient may be anywhere in its interval, but no farther from 0 than those of such images are.
    """
    luminance = coefficients(pool(x, int(jpeg.factor)), jpeg.subsampling)[0]
    variance = np.minimum(np.mean(luminance**2, (0, 2)), np.asarray(jpeg.luminance, np.float64) ** 2 / 12)
    return float(np.sqrt(np.mean(variance))) / 255


def coefficients(image: Image, subsampling: tuple[int, int]) -> list[Blocks]:
    """Those of luminance and of both reduced colours, nothing rounded; the image is padded to whole blocks."""
    luminance, *colours = _planes(image, subsampling)
    down, across = subsampling
    height, width = luminance.shape
    tiles = (colour.reshape(height // down, down, width // across, across).mean((1, 3)) for colour in colours)
    return [_to_blocks(plane) for plane in (luminance, *tiles)]


def of_observation(image: Image, jpeg: JPEG) -> list[Blocks]:
    """The coefficients that a file held, up to rounding, of the image that was decoded from it.

    The decoder smooths colours as it enlarges them, and their mean over a tile still is smoothed; this is undone.
    """
    luminance, *colours = coefficients(image, jpeg.subsampling)
    sharp = []
    for colour in colours:
        plane = _from_blocks(colour)
        for axis, pixels in enumerate(jpeg.subsampling):
            size = plane.shape[axis]
            smoothing = enlargement(size, pixels).astype(np.float64).reshape(size, pixels, size).mean(1)
            plane = np.moveaxis(np.linalg.solve(smoothing, np.moveaxis(plane, axis, 0)), 0, axis)
        sharp.append(_to_blocks(plane))
    return [luminance, *sharp]


def _planes(image: Image, subsampling: tuple[int, int]) -> list[Plane]:
    """Luminance less 128, and the differences of colour."""
    units = (BLOCK * pixels for pixels in subsampling)
    padding = [(0, -size % unit) for size, unit in zip(image.shape[:2], units, strict=True)]
    levels = 127.5 * (np.pad(np.asarray(image, np.float64), [*padding, (0, 0)], mode="edge") + 1)
    return list(np.moveaxis(levels @ TO_YCBCR.T - [128, 0, 0], -1, 0))


def _to_blocks(plane: Plane) -> Blocks:
    blocks = plane.reshape(plane.shape[0] // BLOCK, BLOCK, plane.shape[1] // BLOCK, BLOCK)
    return np.einsum("ui,vj,aibj->aubv", cosines(), cosines(), blocks, optimize=True)


def _from_blocks(blocks: Blocks) -> Plane:
    plane = np.einsum("ui,vj,aubv->aibj", cosines(), cosines(), blocks, optimize=True)
    return plane.reshape(plane.shape[0] * BLOCK, -1)
