"""Fills each hole of a picture with a membrane, the smooth surface that the values around the hole span.

References:
  Pérez, Gangnet, Blake, Poisson Image Editing, 2003, eq. 4 (cloning g into f gives g plus the membrane of f - g).
  Bornemann, Deuflhard, The cascadic multigrid method for elliptic problems, 1996.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

SWEEPS = 32
"""The number of relaxation sweeps on each level; tests/test_membrane.py measures the error that they leave."""

OVER_RELAXATION = 1.8
"""A sweep moves each value by this many times its distance from its neighbours' mean."""

_STRIP = 512  # this even number of rows is enlarged at once


def fill(values: Float32[np.ndarray, "H W"], hole: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Solves Laplace's equation in the holes, so that each value there is the mean of its four neighbours.

    At the border of the picture a value has fewer neighbours. The picture of half the size is solved first, in the same
    way; the result is enlarged and relaxed by a fixed number of sweeps. Memory grows with the bounding box of the
    holes, not with the picture.

    Args:
      values: one channel of the picture; the values in the holes are ignored.
      hole: True where a value is to be found.
    Returns:
      A copy of `values` that differs from it in the holes only.
    Raises:
      ValueError: the holes cover everything.
    """
    if values.shape != hole.shape:
        raise ValueError(f"values have shape {values.shape}, hole {hole.shape}; expected one shape for both")
    if hole.all():
        raise ValueError("the hole covers the whole picture; expected at least one known value around it")
    filled = values.copy()
    if hole.any():
        box = bounding_box(hole, margin=1)
        filled[box] = _fill(filled[box], hole[box])
    return filled


def _fill(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    if not hole.any():
        return values
    counts = _blocks(~hole)
    sums = _blocks(np.where(hole, np.float32(0), values))
    coarse = _fill(sums / np.maximum(counts, np.float32(1)), counts == 0)
    del sums, counts
    padded = np.pad(values, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    for top in range(0, len(values), _STRIP):  # enlarging all rows at once would take several times the memory
        strip = slice(top, top + _STRIP)
        inner[strip][hole[strip]] = _enlarged_rows(coarse, values.shape, strip)[hole[strip]]
    _relax(padded, hole)
    return inner


def _blocks(values: np.ndarray) -> np.ndarray:
    """Sums blocks of 2x2 values, as float32; an odd last row or column stands alone."""
    sums = np.zeros([-(-side // 2) for side in values.shape], np.float32)
    for row in (0, 1):
        for column in (0, 1):
            part = values[row::2, column::2]
            sums[: part.shape[0], : part.shape[1]] += part
    return sums


def _enlarged_rows(coarse: np.ndarray, shape: tuple[int, int], rows: slice) -> np.ndarray:
    """Enlarges the picture to twice its size by linear interpolation, and returns some rows, from an even one on."""
    first, last = rows.start // 2, min(-(-rows.stop // 2), len(coarse))
    with_neighbours = np.pad(coarse[max(first - 1, 0) : last + 1], ((first == 0, last == len(coarse)), (0, 0)), "edge")
    return _doubled(_doubled(with_neighbours)[: shape[0] - rows.start].T, pad=True)[: shape[1]].T


def _doubled(values: np.ndarray, *, pad: bool = False) -> np.ndarray:
    """Doubles the rows. The first and the last row serve as neighbours only, unless `pad` repeats them for that."""
    if pad:
        values = np.pad(values, ((1, 1), (0, 0)), mode="edge")
    before, here, after = values[:-2], values[1:-1], values[2:]
    upper, lower = (
        np.float32(0.25) * before + np.float32(0.75) * here,
        np.float32(0.75) * here + np.float32(0.25) * after,
    )
    return np.stack([upper, lower], axis=1).reshape(-1, values.shape[1])


def _relax(padded: np.ndarray, hole: np.ndarray) -> None:
    """Sweeps over the hole by over-relaxed Gauss-Seidel steps, on one colour of a chessboard after the other.

    Args:
      padded: the values with a border of one pixel, which are changed in place.
      hole: True where a value is to be found; this array has no border.
    """
    flat, stride = padded.reshape(-1), padded.shape[1]
    rows, columns = np.nonzero(hole)
    index = (rows + 1) * stride + columns + 1
    colours = [index[(rows + columns) % 2 == colour] for colour in (0, 1)]
    del rows, columns, index
    for _ in range(SWEEPS):
        for index in colours:
            # A value beyond the border equals its neighbour inside, so that nothing flows across.
            padded[0], padded[-1] = padded[1], padded[-2]
            padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
            mean = (flat[index - 1] + flat[index + 1] + flat[index - stride] + flat[index + stride]) * np.float32(0.25)
            flat[index] += np.float32(OVER_RELAXATION) * (mean - flat[index])


def bounding_box(hole: Bool[np.ndarray, "H W"], margin: int) -> tuple[slice, slice]:
    """Returns the rows and columns that hold all of a hole and a margin around it, cut at the picture's border."""
    slices = ndimage.find_objects(hole.astype(np.uint8))[0]
    rows, columns = (
        slice(max(part.start - margin, 0), min(part.stop + margin, side))
        for part, side in zip(slices, hole.shape, strict=True)
    )
    return rows, columns
