import jaxtyping
import numpy as np
import pytest
from scipy import ndimage, sparse
from scipy.sparse import linalg

from jaxgan import membrane

Y, X = np.mgrid[:60, :80]
HOLES = {
    "disc": (Y - 30) ** 2 + (X - 40) ** 2 < 22**2,
    "half": X > 35,
    "scratch": abs(Y - 0.7 * X) < 3,
    "two": (abs(X - 20) < 6) | ((X > 60) & (Y > 35)),
}


def exact(values, hole):
    """The discrete Laplace equation, assembled and solved directly: each value in the hole is its neighbours' mean."""
    number = np.cumsum(hole).reshape(hole.shape) - 1
    matrix, known = sparse.lil_matrix((hole.sum(), hole.sum())), np.zeros(hole.sum())
    for y, x in np.argwhere(hole):
        for v, u in ((y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)):
            if 0 <= v < hole.shape[0] and 0 <= u < hole.shape[1]:
                matrix[number[y, x], number[y, x]] += 1
                if hole[v, u]:
                    matrix[number[y, x], number[v, u]] -= 1
                else:
                    known[number[y, x]] += values[v, u]
    filled = values.astype(np.float64)
    filled[hole] = linalg.spsolve(matrix.tocsr(), known)
    return filled


# Measured in 255ths: smooth values 0.1 (scratch) to 1.5; white noise, of which photos have less, up to 4.
@pytest.mark.parametrize("name", HOLES)
@pytest.mark.parametrize("kind, tolerance", [("smooth", 4), ("noise", 10)])
def test_fill_solves_laplaces_equation(name, kind, tolerance):
    values = np.random.default_rng(0).uniform(0, 1, Y.shape)
    if kind == "smooth":
        values = ndimage.gaussian_filter(values, 8)
        values = (values - values.min()) / np.ptp(values)
    filled = membrane.fill(values.astype(np.float32), HOLES[name])
    assert np.abs(filled - exact(values, HOLES[name])).max() * 255 < tolerance


def test_known_values_stay_and_what_is_under_the_hole_does_not_matter():
    values = np.random.default_rng(0).uniform(0, 1, Y.shape).astype(np.float32)
    hole = HOLES["two"]
    filled = membrane.fill(values, hole)
    np.testing.assert_array_equal(filled[~hole], values[~hole])
    np.testing.assert_array_equal(filled, membrane.fill(np.where(hole, np.float32(1e6), values), hole))
    np.testing.assert_array_equal(membrane.fill(values, np.zeros_like(hole)), values)


@pytest.mark.parametrize("name", HOLES)
def test_a_constant_spans_a_constant(name):
    filled = membrane.fill(np.full(Y.shape, 0.3, np.float32), HOLES[name])
    np.testing.assert_allclose(filled, 0.3, atol=1e-6)


def test_a_ramp_spans_a_ramp():
    # Linear functions are harmonic; the disc does not touch the border, where nothing would flow. Measured: 0.002.
    ramp = (X / 80 + Y / 240).astype(np.float32)
    np.testing.assert_allclose(membrane.fill(ramp, HOLES["disc"]), ramp, atol=0.01)


def test_holes_of_nothing_known_are_refused():
    with pytest.raises(ValueError, match="hole covers the whole picture"):
        membrane.fill(np.zeros((4, 4), np.float32), np.ones((4, 4), bool))
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match=r"shape \(4, 4\), hole \(4, 5\)"):
            membrane.fill(np.zeros((4, 4), np.float32), np.ones((4, 5), bool))
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
