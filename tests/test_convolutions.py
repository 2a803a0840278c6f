"""Each way to write a convolution against the compiler's and its automatic gradients, and what `prepare` chooses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from parity import relative_error

import jaxgan
from jaxgan.convolutions import Plan, conv2d, prepare, transposed_conv2d, winograd


def compilers(x, kernel):
    return jax.lax.conv_general_dilated(x[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))[0]


def compilers_transposed(x, kernel):
    """Places values two pixels apart and convolves (not correlates), keeping every pixel that is reached."""
    return jax.lax.conv_general_dilated(
        x[None], kernel[::-1, ::-1], (1, 1), ((2, 2), (2, 2)), (2, 2), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0]


# Sizes on both sides of every limit: products of patches up to 16 or 32, strips from 32 to 64 with 32 channels or more,
# phases above 32.
SHAPES = [(4, 4, 5, 7, 3), (16, 16, 3, 4, 3), (20, 20, 3, 4, 3), (32, 32, 33, 2, 3), (36, 64, 32, 40, 3)]
SHAPES += [(6, 8, 4, 3, 3), (34, 40, 32, 3, 3), (72, 72, 32, 3, 3)]
CASES = [(conv2d, compilers, shape) for shape in [*SHAPES, (9, 9, 3, 2, 1), (9, 9, 3, 2, 5)]]
CASES += [(transposed_conv2d, compilers_transposed, shape) for shape in SHAPES]


@pytest.mark.parametrize(("function", "oracle", "shape"), CASES)
@pytest.mark.parametrize("batched", [False, True])
def test_values_and_both_gradients(function, oracle, shape, batched):
    height, width, channels, out_channels, taps = shape
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, height, width, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(taps, taps, channels, out_channels)), jnp.float32)
    plan = Plan("cpu", 2 if batched else 1, None)
    results = []
    for one in (lambda x, kernel: function(x, kernel, plan), oracle):
        run = jax.vmap(one, (0, None)) if batched else lambda x, kernel, one=one: one(x[0], kernel)

        @jax.jit
        def both(x, kernel, run=run):
            y, pullback = jax.vjp(run, x, kernel)
            return y, *pullback(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

        results.append(both(x, kernel))
    for ours, theirs in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        assert relative_error(ours, theirs) < 2e-6  # seen: 2.2e-7


SMALL = {
    "patches": (conv2d, compilers, (8, 8, 3, 4)),
    "strips": (conv2d, compilers, (4, 32, 32, 33)),
    "winograd": (conv2d, compilers, (32, 16, 3, 2)),
    "transposed-patches": (transposed_conv2d, compilers_transposed, (8, 8, 3, 4)),
    "transposed-phases": (transposed_conv2d, compilers_transposed, (6, 34, 3, 4)),
}


@pytest.mark.parametrize("name", SMALL)
def test_derivatives_of_the_second_order(name):
    """Of a loss that is curved in both arguments; the oracle is differentiated by JAX alone."""
    function, oracle, (height, width, channels, out_channels) = SMALL[name]
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(height, width, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(3, 3, channels, out_channels)) / channels**0.5 / 3, jnp.float32)

    plan = Plan("cpu", 1, winograd.transform(kernel) if name == "winograd" else None)
    results = []
    for one in (lambda x, kernel: function(x, kernel, plan), oracle):

        @jax.jit
        @partial(jax.grad, argnums=(0, 1))
        def second(x, kernel, one=one):
            gradients = jax.grad(lambda *arguments: jnp.sum(jnp.sin(one(*arguments))), (0, 1))(x, kernel)
            return sum(jnp.sum(gradient**2) for gradient in gradients)

        results.append(second(x, kernel))
    for ours, theirs in zip(*results, strict=True):
        assert relative_error(ours, theirs) < 2e-5


def test_forward_mode_is_refused_where_the_adjoint_is_written_out():
    x, kernel = jnp.ones((8, 8, 4)), jnp.ones((3, 3, 4, 4))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: conv2d(x, kernel, Plan("cpu", 1, None)), (x,), (x,))
    _, tangent = jax.jvp(lambda x: conv2d(x, kernel), (x,), (x,))  # without a plan it works
    assert relative_error(tangent, compilers(x, kernel)) < 1e-6


def test_gpus_get_the_compilers_convolution_only():
    """A program for another platform is lowered here: the plan says where it runs, not this process."""
    x, kernel, plan = jnp.zeros((8, 8, 4)), jnp.zeros((3, 3, 4, 4)), Plan("cuda", 1, None)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(transposed_conv2d(conv2d(x, kernel, plan), kernel, plan) ** 2)))
    text = gradient.trace(x).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.convolution") == 4
    assert "dot_general" not in text


@pytest.mark.parametrize("function", [conv2d, transposed_conv2d])
@pytest.mark.parametrize("plan", [None, Plan("cpu", 1, None)], ids=["unprepared", "cpu"])
def test_16_bits_are_rounded_operands_summed_in_float32(function, plan):
    """What tensor cores compute; 4,608 products of about 1 would stop growing at 2048 in float16."""
    x, kernel = jnp.full((4, 4, 512), 1.0005, jnp.float16), jnp.ones((3, 3, 512, 2), jnp.float16)
    y = function(x, kernel, plan)
    assert y.dtype == jnp.float16
    expected = function(x.astype(jnp.float32), kernel.astype(jnp.float32), plan)
    np.testing.assert_array_equal(y, expected.astype(jnp.float16))
    assert float(expected.max()) > 4600 - 2600 * (function is transposed_conv2d)


def test_gpus_multiply_16_bits():
    x, kernel, plan = jnp.zeros((8, 8, 4), jnp.float16), jnp.zeros((3, 3, 4, 4), jnp.float16), Plan("cuda", 1, None)
    text = jax.jit(lambda x: conv2d(x, kernel, plan)).trace(x).lower(lowering_platforms=("cuda",)).as_text()
    (line,) = [line for line in text.splitlines() if "stablehlo.convolution" in line]
    assert "f32" not in line


def test_a_network_is_prepared_as_a_copy():
    config = jaxgan.GeneratorConfig(8, z_dim=4, w_dim=4, channel_base=2048, channel_max=256)
    generator = jaxgan.Generator(config, rngs=nnx.Rngs(0))
    prepared = prepare(generator, platform="cpu", batch=3)
    layers = [prepared.synthesis.b4.conv1, prepared.synthesis.b8.conv0, prepared.synthesis.b8.conv1]
    assert [(layer.plan.platform, layer.plan.batch) for layer in layers] == [("cpu", 3)] * 3
    assert layers[0].plan.transformed.forward.shape == (36, 256, 256)
    assert generator.synthesis.b4.conv1.plan is None
    again = prepare(prepared, platform="cuda", batch=1).synthesis.b4.conv1.plan
    assert (again.platform, again.batch, again.transformed) == ("cuda", 1, None)
    with pytest.raises(ValueError, match="batch is 0; expected the number of images at once"):
        prepare(generator, platform="cpu", batch=0)
