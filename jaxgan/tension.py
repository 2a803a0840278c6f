"""Extends values into holes as a spline in tension: smooth where it leaves the known pixels, taut far from them.

In thin holes the spline is nearly biharmonic, and goes on with the slope that the known values have; in wide ones it is
nearly harmonic, and does not swing over. It minimises `|L r|^2 + |D r|^2 / length^2`, where D takes the differences of
neighbours inside the picture and `L = D'D`.

References:
  Schweikert, "An Interpolation Curve Using a Spline in Tension", 1966, J. Math. Phys. 45.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse import linalg

from jaxgan import membrane

LENGTH = 0.029
"""The length over which tension takes over, as a share of the side of the square that the generator sees."""

LARGEST_SOLVE = 220_000
"""The most pixels of a hole for which the equations are solved; time and memory grow faster than the hole."""


def is_solved(hole: Bool[np.ndarray, "H W"]) -> bool:
    """Tells whether `fill` computes the spline in a hole; a larger hole gets only the harmonic part, the membrane."""
    return int(np.count_nonzero(hole)) <= LARGEST_SOLVE


def fill(
    values: Float[np.ndarray, "H W C"], hole: Bool[np.ndarray, "H W"], length: float
) -> Float[np.ndarray, "H W C"]:
    """Extends known values into the holes.

    Args:
      values: the channels of a picture; the values in the holes are ignored.
      hole: True where a value is to be found; several holes are independent if 4 or more pixels lie between them.
      length: the length in pixels over which tension takes over, above 0; see `LENGTH`.
    Returns:
      A copy of `values` that differs from it in the holes only.
    Raises:
      ValueError: the shapes differ, `length` is not positive, or the holes cover everything.
    """
    if values.shape[:2] != hole.shape:
        raise ValueError(f"values have shape {values.shape}, hole {hole.shape}; expected one height and width for both")
    if not length > 0:
        raise ValueError(f"length is {length}; expected a positive number of pixels")
    if hole.all():
        raise ValueError("the hole covers the whole picture; expected at least one known value around it")
    filled = values.copy()
    if not hole.any():
        return filled
    if not is_solved(hole):
        for channel in range(values.shape[2]):
            filled[..., channel] = membrane.fill(values[..., channel].astype(np.float32), hole)
        return filled
    inside, around, extend = extension(hole, length)
    flat = filled.reshape(hole.size, -1)
    flat[inside] = extend(flat[around].astype(np.float64))
    return filled


class Extension(NamedTuple):
    """The spline in a hole as a linear function of the known values beside it.

    Attributes:
      inside: the pixels of the hole, counted row by row.
      around: the known pixels that they depend on.
      extend: a function from the values around the hole, `[around, C]`, to those inside, `[inside, C]`.
    """

    inside: Int[np.ndarray, " inside"]
    around: Int[np.ndarray, " around"]
    extend: Callable[[np.ndarray], np.ndarray]


def extension(hole: Bool[np.ndarray, "H W"], length: float) -> Extension:
    """Factorises the equations of a hole, which takes time and memory for its own pixels, not for the picture's.

    Args:
      hole, length: see `fill`; at least one pixel must be known.
    """
    inside = np.flatnonzero(hole)
    near = _with_neighbours(inside, hole.shape)
    reach = _with_neighbours(near, hole.shape)  # an equation reaches pixels at a distance of two
    laplacian = _laplacian(near, reach, hole.shape)
    rows = laplacian[np.searchsorted(near, inside)]
    equations = (rows[:, np.searchsorted(reach, near)] @ laplacian + rows / length**2).tocsc()
    is_inside = np.isin(reach, inside, assume_unique=True)
    # The matrix is symmetric and positive definite: it needs no pivoting, and a symmetric ordering fills in least.
    factors = linalg.splu(
        equations[:, is_inside], permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True}
    )
    of_around = equations[:, ~is_inside]
    return Extension(inside, reach[~is_inside], lambda values: factors.solve(-(of_around @ values)))


def _neighbours(pixels: np.ndarray, shape: tuple[int, int]) -> list[tuple[np.ndarray, int]]:
    """Lists for each direction which pixels have a neighbour there, and the distance to it in the flat array."""
    rows, columns = np.divmod(pixels, shape[1])
    return [
        (rows > 0, -shape[1]),
        (rows < shape[0] - 1, shape[1]),
        (columns > 0, -1),
        (columns < shape[1] - 1, 1),
    ]


def _with_neighbours(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.unique(np.concatenate([pixels, *(pixels[has] + step for has, step in _neighbours(pixels, shape))]))


def _laplacian(pixels: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    """Builds rows of the positive semidefinite 5-point Laplacian: the number of neighbours, and -1 for each of them."""
    number = np.arange(len(pixels))
    rows, targets, values = [number], [pixels], [np.zeros(len(pixels))]
    for has, step in _neighbours(pixels, shape):
        values[0] += has
        rows.append(number[has])
        targets.append(pixels[has] + step)
        values.append(np.full(int(has.sum()), -1.0))
    places = np.concatenate(rows), np.searchsorted(columns, np.concatenate(targets))
    return sparse.csr_array((np.concatenate(values), places), shape=(len(pixels), len(columns)))
