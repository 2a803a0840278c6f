"""Fills holes of a picture as smoothly as can be: the membrane spanned by the values around them.

References: Pérez, Gangnet, Blake, Poisson Image Editing, 2003, eq. 4: cloning g into f is g plus the membrane of f - g.
Bornemann, Deuflhard, The cascadic multigrid method for elliptic problems, 1996.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

SWEEPS = 32  # per level; what is left after them is measured in tests/test_membrane.py
OVER_RELAXATION = 1.8


def fill(values: Float32[np.ndarray, "H W"], hole: Bool[np.ndarray, "H W"]) -> Float32[np.ndarray, "H W"]:
    """Solves Laplace's equation in the holes; no value crosses the border of the picture.

    From coarse to fine: each level starts from the one of half its size and is relaxed by a fixed number of sweeps.
    Memory: about 20 bytes per pixel of the holes' bounding box.

    Args:
      values: what is under the holes does not matter.
      hole: True where a value is to be found.
    Returns:
      A copy of `values`, equal outside the holes.
    Raises:
      ValueError: the holes cover everything.
    """
    if values.shape != hole.shape:
        raise ValueError(f"values have shape {values.shape}, hole {hole.shape}; expected one shape for both")
    if hole.all():
        raise ValueError("the hole covers the whole picture; expected at least one known value around it")
    filled = values.copy()
    if hole.any():
        box = _bounding_box(hole, margin=1)
        filled[box] = _fill(filled[box], hole[box])
    return filled


def _fill(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    if not hole.any():
        return values
    known = (~hole).astype(np.float32)
    sums, counts = _blocks(np.where(hole, np.float32(0), values)), _blocks(known)
    coarse = _fill(sums / np.maximum(counts, 1), counts == 0)
    start = _enlarged(coarse, values.shape)
    return _relaxed(np.where(hole, start, values), hole)


def _blocks(values: np.ndarray) -> np.ndarray:
    """Sums of blocks of 2x2; an odd last row or column stands alone."""
    height, width = values.shape
    values = np.pad(values, ((0, height % 2), (0, width % 2)))
    return values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]


def _enlarged(coarse: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Twice the size, linear between the blocks' centres."""
    for axis in (0, 1):
        coarse = np.moveaxis(coarse, axis, 0)
        before, after = np.concatenate([coarse[:1], coarse[:-1]]), np.concatenate([coarse[1:], coarse[-1:]])
        fine = np.stack([0.25 * before + 0.75 * coarse, 0.75 * coarse + 0.25 * after], axis=1)
        coarse = np.moveaxis(fine.reshape(-1, coarse.shape[1]), 0, axis)
    return coarse[: shape[0], : shape[1]]


def _relaxed(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Sweeps of over-relaxed Gauss-Seidel over the hole, the squares of one colour of a chessboard after the other."""
    padded = np.pad(values, 1, mode="edge").astype(np.float32)
    flat, stride = padded.reshape(-1), padded.shape[1]
    rows, columns = np.nonzero(hole)
    index = (rows + 1) * stride + columns + 1
    colours = [index[(rows + columns) % 2 == colour] for colour in (0, 1)]
    del rows, columns, index
    for _ in range(SWEEPS):
        for index in colours:
            mean = (flat[index - 1] + flat[index + 1] + flat[index - stride] + flat[index + stride]) * np.float32(0.25)
            flat[index] += np.float32(OVER_RELAXATION) * (mean - flat[index])
            # Beyond the border stands what is inside of it: nothing flows across.
            padded[0], padded[-1] = padded[1], padded[-2]
            padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
    return padded[1:-1, 1:-1]


def _bounding_box(hole: np.ndarray, margin: int) -> tuple[slice, slice]:
    slices = ndimage.find_objects(hole.astype(np.uint8))[0]
    return tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, side))
        for part, side in zip(slices, hole.shape, strict=True)
    )
