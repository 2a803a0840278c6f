"""Normalised gradient descent against a slow loop."""

import jax.numpy as jnp
import numpy as np

from jaxgan.normalized_descent import normalize_vectors


def slow_step(w: np.ndarray, gradient: np.ndarray, length: float) -> np.ndarray:
    """SPEC 7: each vector moves against its own gradient divided by that gradient's L2 norm, 0 where not finite."""
    after = w.astype(np.float64).copy()
    for place in np.ndindex(w.shape[:-1]):
        norm = sum(float(value) ** 2 for value in gradient[place]) ** 0.5
        for k, value in enumerate(gradient[place]):
            change = float(value) / norm if norm > 0 else np.nan
            after[place][k] -= length * change if np.isfinite(change) else 0.0
    return after


def test_every_vector_moves_by_the_same_length():
    rng = np.random.default_rng(0)
    for shape in ((5,), (3, 5), (3, 4, 5)):
        w, gradient = rng.normal(size=(2, *shape)).astype(np.float32)
        gradient *= 10.0 ** rng.integers(-4, 4, (*shape[:-1], 1))
        transformation = normalize_vectors()
        updates, _ = transformation.update(jnp.asarray(gradient), transformation.init(jnp.asarray(w)))
        np.testing.assert_allclose(w - 0.02 * updates, slow_step(w, gradient, 0.02), atol=2e-7)  # seen: 6e-8
        np.testing.assert_allclose(np.linalg.norm(updates, axis=-1), 1, rtol=1e-6)


def test_a_vector_without_a_finite_direction_stays_where_it_is():
    gradient = np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]], np.float32)
    updates, _ = normalize_vectors().update(jnp.asarray(gradient), None)
    np.testing.assert_allclose(updates[:3], [[0.6, 0.8], [0, 0], [0, 0]], rtol=1e-6)
    assert np.isfinite(updates).all() and not updates[3, 0]
