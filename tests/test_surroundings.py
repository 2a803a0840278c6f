"""Around a convolution: results and derivatives of the lean functions equal those of the plain ones, in each format."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import relative_error

from jaxgan.surroundings import LEAN, PLAIN

GAIN = math.sqrt(2)


def arguments(dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 5)
    x = 3 * jax.random.normal(keys[0], (6, 5, 4))
    scale = jnp.exp(jax.random.normal(keys[1], (4,)))
    noise, bias = jax.random.normal(keys[2], (6, 5)), jax.random.normal(keys[3], (4,))
    return (x.astype(dtype), scale, noise, bias), jax.random.normal(keys[4], x.shape).astype(dtype)


def value_and_gradients(function, inputs, gradient):
    value, pullback = jax.vjp(function, *inputs)
    return value, *pullback(gradient)


@pytest.mark.parametrize("limit", [None, 2.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 2e-6), (jnp.float16, 4e-3)])
def test_the_lean_end_of_a_layer_equals_the_plain_one(dtype, tolerance, limit):
    inputs, gradient = arguments(dtype)
    ours = value_and_gradients(lambda *inputs: LEAN.finish(*inputs, GAIN, limit), inputs, gradient)
    plain = partial(PLAIN.finish, gain=GAIN, limit=limit)
    reached = np.abs(np.asarray(ours[0], np.float32)) == (limit or np.inf)
    assert reached.any() == (limit is not None)
    for mine, expected in zip(ours, value_and_gradients(plain, inputs, gradient), strict=True):
        assert mine.dtype == expected.dtype and relative_error(mine, expected) < tolerance


def test_a_batch_equals_its_images():
    inputs, gradient = arguments()

    def tail(x, noise):
        return LEAN.finish(x, inputs[1], noise, inputs[3], GAIN, 2.0)

    xs, noises = jnp.stack([inputs[0], -inputs[0]]), jnp.stack([inputs[2], inputs[2] + 1])
    ours = value_and_gradients(jax.vmap(tail), (xs, noises), jnp.stack([gradient, gradient]))
    for index in (0, 1):
        alone = value_and_gradients(tail, (xs[index], noises[index]), gradient)
        for mine, expected in zip(ours, alone, strict=True):
            np.testing.assert_allclose(mine[index], expected, rtol=1e-5, atol=1e-6)


def test_many_small_gradients_of_a_style_are_summed_up_in_float32():
    """In float16 a sum of 4096 ones stops at 2048, where the next number is 2050."""
    x = jnp.ones((64, 64, 1), jnp.float16)
    _, of_styles = jax.vjp(LEAN.modulate, x, jnp.ones(1))[1](jnp.ones_like(x))
    assert of_styles == 4096 and of_styles.dtype == jnp.float32


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_colours_equal_the_matrix_product(channels):
    x, kernel, gradient = (
        jax.random.normal(jax.random.key(i), shape)
        for i, shape in enumerate([(6, 5, 4), (4, channels), (6, 5, channels)])
    )
    ours = value_and_gradients(LEAN.to_colours, (x, kernel), gradient)
    for mine, expected in zip(ours, value_and_gradients(PLAIN.to_colours, (x, kernel), gradient), strict=True):
        assert relative_error(mine, expected) < 1e-6
