"""Winograd's convolution against the compiler's, alone, in a batch and inside a network that was prepared for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import relative_error
from test_convolutions import compilers

from jaxgan.convolutions import Plan, conv2d, prepare, winograd


@pytest.mark.parametrize("shape", [(4, 4, 2, 3), (8, 20, 256, 128)])
def test_both_directions(shape):
    height, width, channels, out_channels = shape
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(height, width, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, channels, out_channels)), jnp.float32)
    expected, pullback = jax.vjp(lambda x: compilers(x, kernel), x)
    gradient = jnp.cos(jnp.arange(expected.size, dtype=jnp.float32)).reshape(expected.shape)
    forward, backward = winograd.transform(kernel)
    assert relative_error(winograd.conv2d(x, forward), expected) < 1e-5  # seen: 2.9e-6
    assert relative_error(winograd.conv2d(gradient, backward), pullback(gradient)[0]) < 1e-5  # seen: 2.9e-6


@pytest.mark.parametrize(
    ("batch", "height", "is_used"), [(None, 16, False), (None, 32, True), (2, 16, True), (2, 8, False)]
)
def test_it_is_used_where_there_are_tiles_enough(batch, height, is_used):
    """The larger kernel costs more than it saves otherwise; the values agree in any case."""
    shape = (height, 16, 128) if batch is None else (batch, height, 16, 128)
    x = jax.random.normal(jax.random.key(0), shape)
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 128, 256))

    def gradient(x, kernel, plan):
        def loss(x):
            return jnp.sum(jnp.sin(conv2d(x, kernel, plan)))

        return jax.value_and_grad(loss)(x)

    run = jax.jit(gradient if batch is None else jax.vmap(gradient, (0, None, None)))
    plan = Plan("cpu", batch or 1, winograd.transform(kernel))
    assert ("f32[36,36]" in run.lower(x, kernel, plan).compile().as_text()) == is_used
    (value, ours), (expected_value, expected) = run(x, kernel, plan), run(x, kernel, None)
    np.testing.assert_allclose(value, expected_value, rtol=1e-3)
    assert relative_error(ours, expected) < 1e-3  # sin of numbers up to 100: rounding of 3e-6 is 3e-4 of a radian


def test_a_prepared_network_computes_the_same(lpips):
    images = jax.random.uniform(jax.random.key(0), (2, 64, 64, 3), minval=-1, maxval=1)

    @jax.jit
    def features(lpips, images):
        return jax.vmap(lpips.features)(images)

    prepared = prepare(lpips, platform="cpu", batch=2)
    assert prepared.vgg.conv5_1.plan.transformed is not None and prepared.vgg.conv2_2.plan.transformed is None
    for ours, expected in zip(features(prepared, images), features(lpips, images), strict=True):
        assert relative_error(ours, expected) < 2e-5


def test_gpus_do_without():
    x, kernel = jnp.zeros((32, 32, 128)), jnp.zeros((3, 3, 128, 256))
    run = jax.jit(lambda x, kernel: conv2d(x, kernel, Plan("cuda", 1, winograd.transform(kernel))))
    text = run.trace(x, kernel).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.convolution") == 1 and "dot_general" not in text
