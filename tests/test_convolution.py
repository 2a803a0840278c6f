"""Each way to write a convolution against the compiler's own and its automatic gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import relative_error

from jaxgan.convolutions.convolution import conv2d, transposed_conv2d


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
SHAPES += [(6, 8, 4, 3, 3), (34, 40, 32, 3, 3), (72, 72, 32, 3, 3), (9, 9, 3, 2, 1), (9, 9, 3, 2, 5)]


@pytest.mark.parametrize(("function", "oracle"), [(conv2d, compilers), (transposed_conv2d, compilers_transposed)])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batched", [False, True])
def test_values_and_both_gradients(function, oracle, shape, batched):
    height, width, channels, out_channels, taps = shape
    if function is transposed_conv2d and taps != 3:
        pytest.skip("the transposed convolution is 3x3")
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, height, width, channels)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(taps, taps, channels, out_channels)), jnp.float32)
    results = []
    for one in (function, oracle):
        run = jax.vmap(one, (0, None)) if batched else lambda x, kernel, one=one: one(x[0], kernel)

        @jax.jit
        def both(x, kernel, run=run):
            y, pullback = jax.vjp(run, x, kernel)
            return y, *pullback(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

        results.append(both(x, kernel))
    for ours, theirs in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        assert relative_error(ours, theirs) < 2e-6  # seen: 2.2e-7


def test_gpus_get_the_compilers_convolution_only():
    x, kernel = jnp.zeros((8, 8, 4)), jnp.zeros((3, 3, 4, 4))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(transposed_conv2d(conv2d(x, kernel), kernel) ** 2)))
    text = gradient.trace(x).lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("stablehlo.convolution") == 4
    assert "dot_general" not in text
