"""The spline in tension against a dense solution of its equations, and its properties."""

import numpy as np
import pytest

from jaxgan import tension

Y, X = np.mgrid[:14, :17]
HOLES = {
    "inside": (abs(Y - 6) < 3) & (abs(X - 8) < 4),
    "at the border": (Y > 8) & (X < 6),
    "two": ((Y < 3) & (X > 12)) | ((abs(Y - 9) < 2) & (abs(X - 4) < 3)),
    "one pixel known": (Y != 5) | (X != 5),
}


def dense(values, hole, length):
    """The minimum of `|L r|^2 + r' L r / length^2`, pair by pair of neighbours, over all pixels of the picture."""
    number = np.arange(hole.size).reshape(hole.shape)
    laplacian = np.zeros((hole.size, hole.size))
    for y, x in np.ndindex(*hole.shape):
        for v, u in ((y + 1, x), (y, x + 1)):
            if v < hole.shape[0] and u < hole.shape[1]:
                a, b = number[y, x], number[v, u]
                laplacian[a, a] += 1
                laplacian[b, b] += 1
                laplacian[a, b] -= 1
                laplacian[b, a] -= 1
    energy, inside = laplacian @ laplacian + laplacian / length**2, hole.ravel()
    flat = values.reshape(hole.size, -1).copy()
    flat[inside] = np.linalg.solve(energy[np.ix_(inside, inside)], -energy[np.ix_(inside, ~inside)] @ flat[~inside])
    return flat.reshape(values.shape)


@pytest.mark.parametrize("name", HOLES)
@pytest.mark.parametrize("length", [0.5, 1.8, 30.0])
def test_it_solves_the_equations(name, length):
    values = np.random.default_rng(0).uniform(-1, 1, (*Y.shape, 3))
    filled = tension.fill(values, HOLES[name], length)
    np.testing.assert_allclose(filled, dense(values, HOLES[name], length), atol=1e-9)  # largest seen: 3e-12


@pytest.mark.parametrize("name", HOLES)
def test_known_values_stay_and_what_is_under_the_hole_does_not_matter(name):
    values, hole = np.random.default_rng(0).uniform(-1, 1, (*Y.shape, 2)).astype(np.float32), HOLES[name]
    filled = tension.fill(values, hole, 1.8)
    assert filled.dtype == np.float32
    np.testing.assert_array_equal(filled[~hole], values[~hole])
    np.testing.assert_array_equal(filled, tension.fill(np.where(hole[..., None], np.float32(9), values), hole, 1.8))
    np.testing.assert_array_equal(tension.fill(values, np.zeros_like(hole), 1.8), values)
    np.testing.assert_allclose(tension.fill(np.full((*Y.shape, 1), 0.3), hole, 1.8), 0.3, atol=1e-9)  # seen: 2e-13


def test_tension_decides_between_a_membrane_and_a_thin_plate():
    """Between -1 on the left of a wide hole and rising values on its right, only the plate swings below -1."""
    values = np.zeros((40, 64, 1))
    values[:, :10], values[:, 54:] = -1, np.arange(10)[None, :, None]
    hole = np.zeros((40, 64), bool)
    hole[:, 10:54] = True
    taut, loose = (tension.fill(values, hole, length)[20, 10:54, 0] for length in (0.1, 1e4))
    np.testing.assert_allclose(np.diff(taut), 1 / 45, rtol=0.03)  # a straight line from -1 to 0
    assert loose.min() < -1.5


def test_holes_above_the_limit_are_filled_by_the_membrane(monkeypatch):
    values, hole = np.random.default_rng(0).uniform(-1, 1, (*Y.shape, 3)), HOLES["inside"]
    solved = tension.fill(values, hole, 0.05)
    monkeypatch.setattr(tension, "LARGEST_SOLVE", int(hole.sum()) - 1)
    assert not tension.is_solved(hole)
    # Strong tension is the membrane; seen: 0.012.
    np.testing.assert_allclose(tension.fill(values, hole, 0.05), solved, atol=0.05)
    assert not np.array_equal(tension.fill(values, hole, 0.05), solved)


@pytest.mark.usefixtures("unchecked_shapes")
def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="hole covers the whole picture"):
        tension.fill(np.zeros((4, 4, 3)), np.ones((4, 4), bool), 1.0)
    with pytest.raises(ValueError, match=r"shape \(4, 4, 3\), hole \(4, 5\)"):
        tension.fill(np.zeros((4, 4, 3)), np.ones((4, 5), bool), 1.0)
    with pytest.raises(ValueError, match="length is 0.0; expected a positive number"):
        tension.fill(np.zeros((4, 4, 3)), np.eye(4) > 0, 0.0)
