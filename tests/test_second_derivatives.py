"""Derivatives of derivatives through whole networks: for penalties on gradients, and for second-order methods."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxgan
from jaxgan import lpips as lpips_lib
from jaxgan.convolutions import prepare
from jaxgan.precision import balance_gradient

STEP = 1e-6
"""Of the finite differences, in float64: few activations change their sign in between, and none in these tests."""


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def in_float64(network):
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), network)


def inner(a, b):
    return sum(jnp.vdot(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def check(whole_loss, at, *fixed):
    """The curvature of a loss of `(*fixed, at)` along a line, by `jax.grad(jax.grad)` and central differences."""
    leaves, tree = jax.tree.flatten(at)
    keys = jax.random.split(jax.random.key(5), len(leaves))
    draws = [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
    direction = jax.tree.unflatten(tree, draws)

    @jax.jit
    def slopes_and_curvatures(at, fixed):
        def slope(at):
            return inner(jax.grad(partial(whole_loss, *fixed))(at), direction)

        def moved(step):
            there = jax.tree.map(lambda leaf, d: leaf + step * d, at, direction)
            slope_there, its_gradient = jax.value_and_grad(slope)(there)
            return slope_there, inner(its_gradient, direction)

        return jax.lax.map(moved, jnp.asarray([STEP, -STEP, 0]))

    (ahead, behind, _), (_, _, ours) = slopes_and_curvatures(at, fixed)
    expected = (ahead - behind) / (2 * STEP)
    assert abs(expected) > 1e-3
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.fixture(scope="module", params=["unprepared", "cpu", "cuda"])
def prepared(request):
    """A network that is prepared for a GPU computes the same on a CPU, with other derivatives."""
    if request.param == "unprepared":
        return lambda network: network
    return partial(prepare, platform=request.param, batch=1)


@pytest.fixture(scope="module")
def generator():
    config = jaxgan.GeneratorConfig(8, z_dim=4, w_dim=4, channel_base=32, channel_max=4)
    return jaxgan.Generator(config, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("by", ["latents", "weights"])
def test_synthesis(generator, prepared, by):
    graph, params, rest = nnx.split(in_float64(prepared(generator).synthesis), nnx.Param, ...)
    ws = jax.random.normal(jax.random.key(2), (generator.config.num_ws, 4))

    def loss(params, ws):
        return jnp.mean(nnx.merge(graph, params, rest)(ws, dtype=jnp.float64) ** 4)

    if by == "latents":
        check(loss, ws, params)
    else:
        check(lambda ws, params: loss(params, ws), params, ws)


def test_lpips(lpips):
    lpips = in_float64(prepare(lpips, platform="cpu", batch=1))
    image, other = jax.random.uniform(jax.random.key(0), (2, 16, 16, 3), minval=-1)

    def loss(lpips, other, image):
        return lpips_lib.distance(*(lpips.features(one, dtype=jnp.float64) for one in (image, other)))

    check(loss, image, lpips, other)


def test_a_balanced_function():
    """What float16 wraps around the networks keeps its second derivative: of `sum x^3`, `6 x`."""
    x = jnp.asarray([1.0, -2.0, 0.5])
    gradient = jax.grad(lambda x: jnp.sum(balance_gradient(lambda x: x**3)(x)))
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(gradient(x)))(x), 6 * x, rtol=1e-6)
