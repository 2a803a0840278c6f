"""The degradation that makes small pictures, against means that NumPy takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.degradations import Pooling
from jaxgan.degradations.reduction import from_corner, to_corner

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
IMAGE = np.random.default_rng(0).uniform(-1, 1, (16, 24, 3)).astype(np.float32)


def means(factor: int) -> np.ndarray:
    return IMAGE.reshape(16 // factor, factor, 24 // factor, factor, 3).mean((1, 3))


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_pooling_is_the_mean_over_tiles_enlarged_by_repetition(factor):
    expected = means(factor).repeat(factor, 0).repeat(factor, 1)
    np.testing.assert_allclose(Pooling(factor)(IMAGE), expected, atol=1e-6)  # largest seen: 1.2e-7
    small = np.asarray(to_corner(jnp.asarray(IMAGE), factor))
    height, width = 16 // factor, 24 // factor
    np.testing.assert_allclose(small[:height, :width], means(factor), atol=1e-6)
    if factor > 1:
        np.testing.assert_allclose(
            small[height:, width - 1], np.broadcast_to(means(factor)[-1, -1], (16 - height, 3)), atol=1e-6
        )
    np.testing.assert_allclose(from_corner(jnp.asarray(small), factor), expected, atol=1e-6)


def test_factors_of_a_batch_may_differ():
    factors = jnp.asarray([1, 2, 4, 8])
    together = jax.vmap(lambda factor: Pooling(factor)(IMAGE))(factors)
    for factor, pooled in zip(factors, together, strict=True):
        np.testing.assert_allclose(pooled, Pooling(int(factor))(IMAGE), atol=1e-6)
