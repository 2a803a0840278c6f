"""Extends values into holes as a spline in tension: smooth where it leaves the known pixels, taut far from them.

In thin holes the spline is nearly biharmonic, and goes on with the slope that the known values have; in wide ones it is
nearly harmonic, and does not swing over. It minimises `|L r|^2 + |D r|^2 / length^2`, D the differences of neighbours
and `L = D'D`, which is zero beyond the border of the picture.

References:
  Schweikert, "An Interpolation Curve Using a Spline in Tension", 1966, J. Math. Phys. 45.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.sparse import linalg

from jaxgan import membrane

LENGTH = 0.029
"""Over which tension takes over, as a share of the side of the square that the generator sees."""

LARGEST_SOLVE = 220_000
"""Pixels of a hole up to which the equations are solved: at 90,000 in 3 s and 0.2 GB, and both grow a little faster."""


def is_solved(hole: Bool[np.ndarray, "H W"]) -> bool:
    """Whether `fill` computes the spline in a hole; one that is larger gets its harmonic part, the membrane, alone."""
    return int(np.count_nonzero(hole)) <= LARGEST_SOLVE


def fill(
    values: Float[np.ndarray, "H W C"], hole: Bool[np.ndarray, "H W"], length: float
) -> Float[np.ndarray, "H W C"]:
    """Extends known values into the holes.

    Args:
      values: what is under the holes does not matter.
      hole: True where a value is to be found; several holes are independent if 4 or more pixels lie between them.
      length: in pixels; see `LENGTH`.
    Returns:
      A copy of `values`, equal outside the holes, of the same dtype.
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
    box = membrane.bounding_box(hole, margin=2)  # an equation reaches two pixels far
    filled[box][hole[box]] = _solve(values[box].astype(np.float64), hole[box], length)
    return filled


def _solve(values: np.ndarray, hole: np.ndarray, length: float) -> np.ndarray:
    """The values in the hole, `[pixels, C]`."""
    laplacian, inside = _laplacian(*hole.shape), hole.ravel()
    rows = laplacian[inside]
    equations = (rows @ laplacian + rows / length**2).tocsc()
    known = np.where(hole[..., None], 0, values).reshape(inside.size, -1)
    # Symmetric and positive definite: no pivoting is needed, and an ordering for symmetric matrices fills in least.
    factors = linalg.splu(
        equations[:, inside].tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0, options={"SymmetricMode": True}
    )
    return factors.solve(-(equations @ known))


def _laplacian(height: int, width: int) -> sparse.csr_array:
    """The positive semidefinite 5-point Laplacian: the number of neighbours on the diagonal, -1 beside it."""

    def path(size: int) -> sparse.dia_array:
        beside = -np.ones(size - 1)
        return sparse.diags_array([beside, np.r_[1, 2 * np.ones(size - 2), 1], beside], offsets=[-1, 0, 1])

    rows = sparse.kron(path(height), sparse.eye_array(width))
    return sparse.csr_array(rows + sparse.kron(sparse.eye_array(height), path(width)))
