"""Up- and down-sampling, convolutions and activations against stored values of the reference implementation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import nhwc, relative_error

from jaxgan import losses, ops
from jaxgan.convolutions import Plan, conv2d

RNG = np.random.default_rng(0)
TAPS = (1.0, 3.0, 3.0, 1.0)


def check(function, golden: dict, key: str, tolerance: float) -> None:
    """Compares the output and the gradient with respect to the input, both batched with vmap."""
    x = nhwc(golden[f"{key}_in_x"])

    @jax.jit
    def both(x, cotangent):
        out, pullback = jax.vjp(jax.vmap(function), x)
        return out, pullback(cotangent)[0]

    out, gradient = both(x, nhwc(golden[f"{key}_cot"]))
    assert relative_error(out, nhwc(golden[f"{key}_out"])) < tolerance
    assert relative_error(gradient, nhwc(golden[f"{key}_grad_x"])) < tolerance


@pytest.fixture(scope="module")
def resample(golden):
    return golden("resample_reference")


UPFIRDN_CASES = [f"case{index:02d}" for index in range(8)]
RESIZE_CASES = [f"case{index:02d}" for index in range(8, 14)]


def pair(value, swap=False):
    value = tuple(value) if isinstance(value, list) else (value, value)
    return value[::-1] if swap else value


def as_kernel(resample: dict, case: dict, gain: float) -> np.ndarray:
    """The stored 2-D filter with the case's flip and gain."""
    if case["filter"] is None:
        return np.full((1, 1), gain)
    kernel = resample[f"filter_{case['filter']}"].astype(np.float64)
    kernel = np.outer(kernel, kernel) if kernel.ndim == 1 else kernel
    return gain * (kernel[::-1, ::-1] if case.get("flip_filter") else kernel)


@pytest.mark.parametrize("key", UPFIRDN_CASES)
def test_upfirdn2d_equals_the_reference(resample, key):
    case = next(case for case in resample["cases"] if case["key"] == key)
    kernel = as_kernel(resample, case, case.get("gain", 1))
    x0, x1, y0, y1 = case["padding"] if isinstance(case["padding"], list) else [case["padding"]] * 4
    up, down = pair(case.get("up", 1), swap=True), pair(case.get("down", 1), swap=True)  # stored as (x, y)
    # Largest seen: 1.3e-7.
    check(lambda x: ops.upfirdn2d(x, kernel, up=up, down=down, padding=(y0, y1, x0, x1)), resample, key, 1e-6)


@pytest.mark.parametrize("key", RESIZE_CASES)
def test_upfirdn2d_makes_the_reference_resizers(resample, key):
    """upsample2d, downsample2d and filter2d of the reference are upfirdn2d with padding that keeps the centre."""
    case = next(case for case in resample["cases"] if case["key"] == key)
    up = 2 if case["op"] == "upsample2d" else 1
    down = 2 if case["op"] == "downsample2d" else 1
    kernel = as_kernel(resample, case, case["gain"] * up**2)
    size = kernel.shape[0]
    before, after = {
        "upsample2d": ((size + 1) // 2, (size - 2) // 2),
        "downsample2d": ((size - 1) // 2, (size - 2) // 2),
        "filter2d": (size // 2, (size - 1) // 2),
    }[case["op"]]
    x0, x1, y0, y1 = case["padding"] if isinstance(case["padding"], list) else [case["padding"]] * 4
    padding = (y0 + before, y1 + after, x0 + before, x1 + after)
    # Largest seen: 1.2e-7.
    check(lambda x: ops.upfirdn2d(x, kernel, up=up, down=down, padding=padding), resample, key, 1e-6)


def test_upsample2d_equals_the_reference(resample):
    check(lambda x: ops.upsample2d(x, TAPS), resample, "case08", 1e-6)


# In the reference `flip_weight` False is a true convolution: what the generator does when it up-samples, not else.
@pytest.mark.parametrize(
    ("key", "up", "flip", "taps"),
    [
        ("case14", False, False, None),
        ("case15", False, True, None),
        ("case16", True, False, TAPS),
        ("case17", True, True, TAPS),
        ("case19", True, False, "asym"),
    ],
)
def test_convolutions_equal_the_reference(resample, key, up, flip, taps):
    if taps == "asym":  # outer product of five taps; the case applies it flipped
        taps = tuple(float(v) for v in resample["filter_asym"].sum(0)[::-1])
    kernel = jnp.asarray(resample[f"{key}_in_w"].transpose(2, 3, 1, 0))
    kernel = kernel[::-1, ::-1] if flip else kernel
    function = (lambda x: ops.up_conv2d(x, kernel, taps)) if up else (lambda x: conv2d(x, kernel))
    check(function, resample, key, 1e-6)  # largest seen: 2.0e-7


def test_kernel_gradients_equal_the_reference(resample):
    """Weights are trained by pivotal tuning, so the hand-written derivatives must be right for them too."""
    for key, function in (
        ("case14", conv2d),
        ("case16", lambda x, kernel: ops.up_conv2d(x, kernel, TAPS)),
    ):
        x, cotangent = nhwc(resample[f"{key}_in_x"]), nhwc(resample[f"{key}_cot"])
        kernel = jnp.asarray(resample[f"{key}_in_w"].transpose(2, 3, 1, 0))
        _, pullback = jax.vjp(lambda k, x=x, f=function: jax.vmap(lambda one: f(one, k))(x), kernel)
        expected = resample[f"{key}_grad_w"].transpose(2, 3, 1, 0)
        assert relative_error(pullback(cotangent)[0], expected) < 1e-6


def test_skip_convolution_equals_the_reference(resample):
    kernel = jnp.asarray(resample["case21_in_w"][:, :, 0, 0].T)
    check(lambda x: ops.upsample2d(x @ kernel, TAPS), resample, "case21", 1e-6)


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("case27", lambda x: ops.leaky_relu(x)),
        ("case28", lambda x: ops.clamp(ops.leaky_relu(x, gain=1.7), 1.5)),
        ("case30", lambda x: ops.clamp(x, 1.0)),
    ],
)
def test_activations_equal_the_reference(resample, key, function):
    bias = jnp.asarray(resample[f"{key}_in_b"])
    check(lambda x: function(x + bias[None, None, :]), resample, key, 1e-6)


@pytest.mark.parametrize(("key", "factor"), [("case35", 3)])
def test_average_pool_is_the_reference_area_resize(resample, key, factor):
    check(lambda x: losses.average_pool(x, factor), resample, key, 1e-6)


@pytest.mark.parametrize("key", ["case36", "case37", "case38", "case39"])
def test_noise_regularizer_equals_the_reference(resample, key):
    value, gradient = jax.value_and_grad(lambda n: losses.noise_regularizer((n,)))(
        jnp.asarray(resample[f"{key}_in_noise"])
    )
    assert relative_error(value, resample[f"{key}_out"][0]) < 2e-6  # a sum of squares of small means; seen: 4e-7
    cotangent = resample[f"{key}_cot"][0]
    assert relative_error(gradient * cotangent, resample[f"{key}_grad_noise"]) < 2e-6


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float32, 5e-6), (jnp.float16, 1e-2)])
def test_a_filter_merged_into_the_kernel_changes_nothing(dtype, tolerance):
    """GPUs do so where channels are few; the pixels at the border included, forwards and backwards."""
    x, kernel = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in [(5, 6, 3), (3, 3, 3, 4)])
    plan = Plan("cuda", 1, None)
    assert plan.merges_filters(kernel.shape) and not plan.merges_filters((3, 3, 512, 128))

    def both(plan):
        function = lambda x, kernel: ops.up_conv2d(x, kernel, TAPS, plan)  # noqa: E731
        y, pullback = jax.vjp(function, x.astype(dtype), kernel)
        return y, *pullback(jnp.cos(jnp.arange(y.size).reshape(y.shape)).astype(dtype))

    for ours, plain in zip(both(plan), both(None), strict=True):
        assert ours.shape == plain.shape and relative_error(ours, plain) < tolerance


def test_up_conv2d_on_a_hand_case():
    """One pixel of value 1 and a kernel of one tap at its centre: the resample filter itself, twice along each axis."""
    x = jnp.zeros((3, 3, 1)).at[1, 1, 0].set(1.0)
    kernel = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    taps = np.array([1, 3, 3, 1]) / 4  # [1, 3, 3, 1] / 8, times 2
    expected = np.zeros((6, 6))
    expected[1:5, 1:5] = np.outer(taps, taps)
    np.testing.assert_allclose(ops.up_conv2d(x, kernel, TAPS)[:, :, 0], expected, atol=1e-7)


def test_upsampling_keeps_a_constant_away_from_the_border():
    image = ops.upsample2d(jnp.full((8, 8, 3), 0.7), TAPS)
    np.testing.assert_allclose(image[2:-2, 2:-2], 0.7, atol=1e-6)


@pytest.mark.parametrize("function", [lambda x: ops.upsample2d(x, TAPS), lambda x: conv2d(x, KERNEL)])
def test_linear_ops_match_their_adjoint(function):
    """<A x, y> = <x, A' y>; seen: 2e-7."""
    x = jnp.asarray(RNG.standard_normal((6, 7, 4)), jnp.float32)
    out, pullback = jax.vjp(function, x)
    y = jnp.asarray(RNG.standard_normal(out.shape), jnp.float32)
    assert math.isclose(jnp.vdot(out, y), jnp.vdot(x, pullback(y)[0]), rel_tol=1e-5, abs_tol=1e-4)


KERNEL = jnp.asarray(RNG.standard_normal((3, 3, 4, 5)), jnp.float32)


def test_demodulated_outputs_have_unit_variance():
    """Inputs and weights are unit normal: the output variance is 1 whatever the styles (0.99 to 1.01 seen)."""
    x = jnp.asarray(RNG.standard_normal((64, 64, 32)), jnp.float32)
    kernel = jnp.asarray(RNG.standard_normal((3, 3, 32, 64)), jnp.float32)
    styles = jnp.asarray(RNG.uniform(0.1, 5.0, 32), jnp.float32)
    out = conv2d(x * styles[None, None, :], kernel) * ops.demodulation(kernel, styles)[None, None, :]
    assert 0.95 < jnp.var(out[1:-1, 1:-1]) < 1.05


def test_normalize_2nd_moment_of_a_hand_case():
    np.testing.assert_allclose(
        ops.normalize_2nd_moment(jnp.array([3.0, 4.0])), np.array([3, 4]) / math.sqrt(12.5), rtol=1e-6
    )


def test_max_pool_drops_an_odd_row_and_gives_the_gradient_to_the_maximum():
    x = jnp.asarray(RNG.permutation(5 * 4 * 2).reshape(5, 4, 2), jnp.float32)
    expected = np.asarray(x)[:4].reshape(2, 2, 2, 2, 2).max((1, 3))
    np.testing.assert_array_equal(ops.max_pool(x), expected)
    gradient = jax.grad(lambda x: jnp.sum(ops.max_pool(x)))(x)
    np.testing.assert_array_equal(gradient, np.isin(np.asarray(x), expected).astype(np.float32))
