"""Finds and applies the tone of a photograph whose colour depends on luminance alone, such as grey or sepia."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt
from scipy import ndimage

TINT = 4.0
"""The root mean square distance from the tone, in 8-bit levels, up to which a photo has no colours of its own."""

_STEPS = 765  # the luminance, a sum of three channels of 8 bits, has so many steps
_SMOOTH = 12  # the curve of a photo whose channels are noisy is smoothed by this sigma, in steps
_BLOCK = 8  # noise and JPEG's errors vanish in the mean of a block of so many pixels, colours do not
_PIXELS = 4_000_000  # of larger photos, evenly spread rows of blocks with so many pixels are used


class Tone(NamedTuple):
    """A curve of colours, one for each luminance; the luminance is the mean of R, G and B."""

    colours: Float32[np.ndarray, "766 3"]  # in [0, 1], for luminances from 0 to 1 in equal steps
    is_exact: bool  # the photo has these colours and no others, so none between them are made


def find_tone(photo: UInt[np.ndarray, "H W 3"], hole: Bool[np.ndarray, "H W"] | None = None) -> Tone | None:
    """Finds the colours of a photograph in which luminance alone decides about the colour.

    Args:
      photo: RGB of 8 or 16 bits.
      hole: True where a pixel is missing and says nothing about the photo.
    Returns:
      The tone, that of a grey photo included; None if the photo has colours, or too few pixels are known.
    """
    values, known = _blocks(photo, hole)
    if not known.any():
        return None
    luminance = values.mean(axis=-1)
    step = np.rint(_STEPS * luminance).astype(np.int32)
    chroma = values - luminance[..., None]
    counts = np.bincount(step[known], minlength=_STEPS + 1).astype(np.float32)
    sums = np.stack([np.bincount(step[known], chroma[known, c], _STEPS + 1) for c in range(3)], axis=-1)
    smooth = _curve(ndimage.gaussian_filter1d(counts, _SMOOTH), ndimage.gaussian_filter1d(sums, _SMOOTH, axis=0))
    error = np.where(known[..., None], chroma - smooth[step], np.float32(0)).sum(axis=(1, 3))
    weight = known.sum(axis=(1, 3))
    squares = ((error / np.maximum(weight, 1)[..., None]) ** 2).sum(axis=-1)
    if np.sqrt(np.average(squares, weights=weight)) * 255 > TINT:
        return None
    slope = (chroma[known] * (luminance[known] - luminance[known].mean())[:, None]).mean(axis=0)
    slope /= luminance[known].var() + 1e-6
    exact = _curve(counts, sums)
    if photo.dtype != np.uint8 or np.abs(chroma - exact[step])[known].max() * 255 > 0.01:
        return Tone(_colours(smooth, slope, counts), is_exact=False)
    colours, steps, present = _colours(exact, slope, counts), np.arange(_STEPS + 1), np.flatnonzero(counts)
    nearest = present[np.abs(present[:, None] - steps).argmin(axis=0)]
    is_near = np.abs(nearest - steps) < 3  # less than one level of grey away
    return Tone(np.where(is_near[:, None], colours[nearest], colours), is_exact=True)


def apply(tone: Tone, luminance: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape 3"]:
    """Gives each luminance its colour.

    Args:
      tone: the tone of the photo.
      luminance: values in [0, 1]; values outside are clipped.
    """
    position = np.clip(luminance, 0, 1) * np.float32(_STEPS)
    if tone.is_exact:
        return tone.colours[np.rint(position).astype(np.int32)]
    below = np.minimum(position.astype(np.int32), _STEPS - 1)
    share = (position - below.astype(np.float32))[..., None]
    return (1 - share) * tone.colours[below] + share * tone.colours[below + 1]


def _blocks(photo: np.ndarray, hole: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the photo, in [0, 1], and its known pixels into blocks: [rows, 8, columns, 8, 3] and without the 3."""
    height, width = (side // _BLOCK for side in photo.shape[:2])
    stride = max(1, -(-height * width * _BLOCK**2 // _PIXELS))

    def cut(array: np.ndarray) -> np.ndarray:
        rows = array[: height * _BLOCK].reshape(height, _BLOCK, *array.shape[1:])[::stride, :, : width * _BLOCK]
        return rows.reshape(len(rows), _BLOCK, width, _BLOCK, *array.shape[2:])

    values = cut(photo).astype(np.float32) / np.float32(np.iinfo(photo.dtype).max)
    known = np.ones(values.shape[:-1], bool) if hole is None else ~cut(hole)
    return values, known


def _curve(counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Divides sums by counts, and draws straight lines between the steps that occur."""
    present = np.flatnonzero(counts > 1e-3)
    means = sums[present] / counts[present, None]
    steps = np.arange(_STEPS + 1)
    return np.stack([np.interp(steps, present, means[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def _colours(chroma: np.ndarray, slope: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Adds the luminance; below and above the photo's luminances the curve goes on straight as far as colours exist."""
    steps, present = np.arange(_STEPS + 1), np.flatnonzero(counts)
    beyond = (steps - np.clip(steps, present[0], present[-1])) / _STEPS
    colours = steps[:, None] / _STEPS + chroma + beyond[:, None] * slope
    exist = np.flatnonzero((np.abs(colours - 0.5) < 0.5 + 0.5 / 255).all(axis=-1))
    return np.clip(colours[np.clip(steps, exist[0], exist[-1])], 0, 1).astype(np.float32)
