"""Forward operators against slow NumPy loops and scipy, and their properties."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import relative_error
from scipy import ndimage

from jaxgan.degradations import (
    JPEG,
    Compose,
    Degradation,
    Denoising,
    GaussianBlur,
    Grayscale,
    Identity,
    Mask,
    MotionBlur,
    Pooling,
    observe,
)

FILL = (-0.030, -0.088, -0.188)  # ImageNet's mean in [-1, 1], as LPIPS v0.1 shifts by it

pytestmark = pytest.mark.usefixtures("unchecked_shapes")


def picture(seed: int, height: int = 12, width: int = 10) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, (height, width, 3)), jnp.float32)


def stripes(seed: int, height: int = 12, width: int = 10) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random((height, width)) > 0.4, jnp.float32)


def blur(sigma: float, kernel_size: int) -> GaussianBlur:
    return GaussianBlur(jnp.float32(sigma), kernel_size)


def slow_blur(image: np.ndarray, sigma: float, kernel_size: int) -> np.ndarray:
    """Both axes at once, one output pixel at a time, in float64."""
    radius = kernel_size // 2
    axis = np.arange(-radius, radius + 1, dtype=np.float64)
    taps = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    padded = np.pad(np.asarray(image, np.float64), ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    result = np.zeros(image.shape)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            result[y, x] = (padded[y : y + kernel_size, x : x + kernel_size] * taps[:, :, None]).sum((0, 1))
    return result


@pytest.mark.parametrize(("sigma", "kernel_size"), [(0.625, 3), (1.5, 7), (3.0, 19), (0.05, 5), (50.0, 5)])
def test_blur_equals_a_slow_loop(sigma, kernel_size):
    image = picture(0)
    # 19 taps on 10 pixels: the mirror reaches to the last pixel of the other side.
    assert (
        relative_error(blur(sigma, kernel_size)(image), slow_blur(image, sigma, kernel_size)) < 2e-6
    )  # largest seen: 1.6e-7


@pytest.mark.parametrize(("sigma", "kernel_size"), [(0.625, 3), (2.5, 13), (10.0, 51)])
def test_blur_equals_scipy(sigma, kernel_size):
    image = picture(1, 64, 48)
    expected = ndimage.gaussian_filter(
        np.asarray(image, np.float64), sigma, mode="mirror", radius=kernel_size // 2, axes=(0, 1)
    )
    assert relative_error(blur(sigma, kernel_size)(image), expected) < 2e-6  # largest seen: 1.7e-7


def test_blur_keeps_constants_and_the_mean_of_a_mirrored_signal():
    np.testing.assert_allclose(blur(2.0, 9)(jnp.full((16, 16, 3), 0.3)), 0.3, atol=1e-6)  # seen: 6e-8
    impulse = jnp.zeros((17, 17, 3)).at[8, 8].set(1)
    spread = blur(1.0, 7)(impulse)
    # Taps of sigma 1 within 3 pixels, by hand: 1 / (1 + 2 (e^-1/2 + e^-2 + e^-9/2)) = 0.39905
    np.testing.assert_allclose(spread[8, 8], 0.39905**2, rtol=1e-4)
    np.testing.assert_allclose(spread[8, 9] / spread[8, 8], np.exp(-0.5), rtol=1e-5)
    assert float(spread[8, 12].sum()) == 0  # cut off beyond 3 pixels


@pytest.mark.parametrize(
    ("resolution", "sigma", "kernel_size"), [(1024, 10, 51), (512, 5, 25), (256, 2.5, 13), (64, 0.625, 3)]
)
def test_default_blur_is_in_proportion(resolution, sigma, kernel_size):
    # 51 R / 1024 is 25.5, 12.75 and 3.19: the nearest odd numbers (25.5 rounds down).
    degradation = GaussianBlur.for_resolution(resolution)
    assert (float(degradation.sigma), degradation.kernel_size) == (sigma, kernel_size)


@pytest.mark.parametrize("kernel_size", [4, 0, -3, 21, 25])
def test_wrong_kernel_sizes_are_told(kernel_size):
    with pytest.raises(
        ValueError, match=f"kernel_size is {kernel_size}; expected an odd number below 20 for 10 pixels"
    ):
        blur(1.0, kernel_size)(picture(0, 10, 10))


def test_grayscale_is_the_mean_of_the_channels():
    image = jnp.asarray([[[0.0, 0.3, 0.9], [-1.0, 1.0, 0.6]]])
    np.testing.assert_allclose(Grayscale()(image), [[[0.4] * 3, [0.2] * 3]], atol=1e-6)  # by hand


def test_a_hole_is_zero_to_the_operator_and_imagenets_mean_to_lpips():
    image, mask = picture(0), stripes(0)
    degraded, seen = np.asarray(Mask(mask)(image)), np.asarray(observe(Mask(mask), image))
    assert 0 < np.count_nonzero(mask) < mask.size
    for y, x in np.ndindex(*mask.shape):
        np.testing.assert_array_equal(degraded[y, x], image[y, x] if mask[y, x] else np.zeros(3))
        np.testing.assert_array_equal(seen[y, x], image[y, x] if mask[y, x] else np.float32(FILL))


def test_nothing_missing_changes_nothing():
    image = picture(0)
    np.testing.assert_array_equal(Mask(jnp.ones((12, 10)))(image), image)
    np.testing.assert_array_equal(Identity()(image), image)
    np.testing.assert_array_equal(Compose(())(image), image)
    np.testing.assert_array_equal(blur(1.0, 1)(image), image)


def slow_motion(image: np.ndarray, length: float, angle: float, radius: int) -> np.ndarray:
    """Taps by numerical integration along the path, then one output pixel at a time, in float64."""
    t = (np.arange(4000) + 0.5) / 4000 - 0.5
    x, y = length * t * np.cos(np.deg2rad(angle)), -length * t * np.sin(np.deg2rad(angle))  # rows run downwards
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    taps = np.exp(-((columns[..., None] - x) ** 2 + (rows[..., None] - y) ** 2) / (2 * 0.5**2)).mean(-1)
    taps /= taps.sum()
    padded = np.pad(np.asarray(image, np.float64), ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
    result = np.zeros(image.shape)
    for row, column in np.ndindex(*taps.shape):
        result += taps[row, column] * padded[row : row + image.shape[0], column : column + image.shape[1]]
    return result


@pytest.mark.parametrize(("length", "angle"), [(1.0, 0.0), (6.0, 30.0), (9.5, 90.0), (4.0, -45.0)])
def test_motion_blur_equals_a_slow_loop(length, angle):
    motion, image = MotionBlur.of(length, angle), picture(0, 20, 24)
    assert motion.kernel_size == 2 * int(np.ceil(length / 2 + 1.5)) + 1
    expected = slow_motion(image, length, angle, motion.kernel_size // 2)
    assert relative_error(motion(image), expected) < 5e-6  # largest seen: 4e-7


def test_a_motion_runs_counter_clockwise_from_the_x_axis():
    impulse = jnp.zeros((31, 31, 3)).at[15, 15].set(1)
    spread = np.asarray(MotionBlur.of(12.0, 45.0)(impulse))[..., 0]
    assert spread[11, 19] > 20 * abs(spread[19, 19])  # up and to the right
    np.testing.assert_allclose(MotionBlur.of(5.0, 20.0)(jnp.full((16, 16, 3), 0.3)), 0.3, atol=1e-6)


@pytest.mark.parametrize("parameter", ["length", "angle"])
def test_the_gradients_of_a_motion_are_those_of_finite_differences(parameter):
    image, weights, motion = picture(1, 20, 24), picture(2, 20, 24), MotionBlur.of(6.0, 30.0)
    value = lambda x: jnp.sum(dataclasses.replace(motion, **{parameter: x})(image) * weights)  # noqa: E731
    at = {"length": 6.0, "angle": 30.0}
    ends = [slow_motion(image, **(at | {parameter: at[parameter] + step}), radius=5) for step in (1e-3, -1e-3)]
    expected = np.sum((ends[0] - ends[1]) * np.asarray(weights)) / 2e-3
    np.testing.assert_allclose(jax.grad(value)(jnp.float32(at[parameter])), expected, rtol=2e-3)  # seen: 2e-4


def test_a_motion_too_long_for_a_picture_is_told():
    with pytest.raises(ValueError, match="kernel_size is 27; expected an odd number below 20 for an image of 10x10"):
        MotionBlur.of(22.0, 0.0)(picture(0, 10, 10))


LINEAR = {
    "identity": Identity(),
    "pooling": Pooling(jnp.int32(2)),
    "motion": MotionBlur.of(4.0, 30.0),
    "denoising": Denoising(stripes(1), jnp.float32(24)),
    "motion, pooling, denoising": Compose((MotionBlur.of(3.0, 80.0), Pooling(jnp.int32(2)), Denoising(stripes(1), 24))),
    "grayscale": Grayscale(),
    "blur": blur(1.3, 7),
    "mask": Mask(stripes(0)),
    "blur, grey, mask": Compose((blur(1.3, 7), Grayscale(), Mask(stripes(0)))),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_operators_match_their_adjoint(name):
    x, y = picture(1), picture(2)
    image, transpose = jax.vjp(LINEAR[name], x)
    # largest seen: 5e-7, of products of 0.2 to 6
    np.testing.assert_allclose(jnp.vdot(image, y), jnp.vdot(x, transpose(y)[0]), atol=5e-6)
    np.testing.assert_allclose(LINEAR[name](2 * x - y), 2 * image - LINEAR[name](y), atol=2e-6)  # largest seen: 2.4e-7


def test_the_adjoint_of_the_blur_is_its_transposed_matrix():
    """The matrix comes from the slow loop, a column per pixel of the input."""
    degradation, shape = blur(1.3, 5), (6, 5, 3)
    pixels = [slow_blur(unit.reshape(shape), 1.3, 5).ravel() for unit in np.eye(np.prod(shape))]
    y = picture(2, 6, 5)
    (actual,) = jax.vjp(degradation, picture(1, 6, 5))[1](y)
    assert relative_error(actual.ravel(), np.stack(pixels) @ np.asarray(y, np.float64).ravel()) < 1e-6  # seen: 9e-8


def test_no_gradient_comes_out_of_a_hole():
    mask = stripes(3)
    for degradation in (Mask(mask), Compose((Grayscale(), Mask(mask)))):
        gradient = jax.grad(lambda image, f=degradation: jnp.sum(f(image) * picture(4)))(picture(5))
        assert not np.asarray(gradient)[np.asarray(mask) == 0].any()
        assert np.asarray(gradient)[np.asarray(mask) == 1].all()
    np.testing.assert_array_equal(jax.vjp(Mask(mask), picture(5))[1](picture(4))[0], picture(4) * mask[:, :, None])


def test_vmap_over_parameters_equals_a_loop():
    images = jnp.stack([picture(k) for k in range(3)])
    for degradations in (
        [Mask(stripes(k)) for k in range(3)],
        [blur(sigma, 5) for sigma in (0.5, 1.0, 2.0)],
        [Compose((blur(k + 0.5, 5), Mask(stripes(k)))) for k in range(3)],
        [Pooling(jnp.int32(factor)) for factor in (1, 2, 3)],
        [MotionBlur.of(length, 40 * length, longest=3) for length in (1.0, 2.0, 3.0)],
        [Denoising(stripes(k), jnp.float32(k)) for k in range(3)],
    ):
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *degradations)
        together = jax.vmap(lambda f, image: f(image))(stacked, images)
        each = jnp.stack([f(image) for f, image in zip(degradations, images, strict=True)])
        np.testing.assert_allclose(together, each, atol=1e-6)  # largest seen: 1.2e-7
        assert not np.array_equal(each[0], degradations[1](images[0]))  # the parameters do matter


def test_the_gradient_to_sigma_is_that_of_finite_differences():
    image, weights = picture(1), picture(2)
    value = lambda sigma: jnp.sum(GaussianBlur(sigma, 7)(image) * weights)  # noqa: E731
    expected = [
        np.sum((slow_blur(image, s + 1e-5, 7) - slow_blur(image, s - 1e-5, 7)) * np.asarray(weights)) / 2e-5
        for s in (0.4, 1.3, 4.0)
    ]
    actual = [jax.grad(value)(jnp.float32(s)) for s in (0.4, 1.3, 4.0)]
    np.testing.assert_allclose(actual, expected, rtol=2e-6)  # largest seen: 2.3e-7
    for sigma in (1e-3, 0.05, 1e3, 1e6):
        assert np.isfinite(jax.grad(value)(jnp.float32(sigma))), sigma


def test_programs_of_two_degradations_are_not_mixed_up():
    """JAX's caches compare structures, and find those of two dataclasses equal (see `degradations.pytree`)."""
    kinds = [Identity(), Grayscale(), Mask(jnp.ones((4, 4))), GaussianBlur(1.0, 3), GaussianBlur(1.0, 5), Pooling(2)]
    kinds += [Denoising(jnp.ones((4, 4)), 9.0), MotionBlur.of(1.0, 0.0), MotionBlur.of(3.0, 0.0), JPEG.of_quality(9)]
    kinds += [Compose((kind,)) for kind in kinds]
    for number, kind in enumerate(kinds):
        assert all(jax.tree.structure(kind) != jax.tree.structure(other) for other in kinds[:number])
    inner = jax.jit(lambda kind, image: kind(image))
    outer = jax.jit(jax.vmap(inner, (None, 0)))
    images = jax.random.uniform(jax.random.key(0), (2, 4, 4, 3))
    np.testing.assert_array_equal(outer(Identity(), images), images)
    assert float(jnp.ptp(outer(Grayscale(), images), axis=-1).max()) == 0


def test_only_masks_hide_what_is_missing():
    observed, mask = picture(6), stripes(6)
    hidden = np.where(np.asarray(mask)[:, :, None] == 1, observed, np.float32(FILL))
    np.testing.assert_array_equal(Mask(mask).hide_missing(observed), hidden)
    for degradation in (Identity(), Grayscale(), blur(1.0, 3), Compose((blur(1.0, 3), Grayscale()))):
        np.testing.assert_array_equal(degradation.hide_missing(observed), observed)
    # A photograph that was degraded already is not degraded again: only the hole is filled.
    np.testing.assert_array_equal(Compose((blur(1.0, 3), Mask(mask))).hide_missing(observed), hidden)


@pytest.mark.parametrize(
    "parts", [("mask",), ("grey", "mask"), ("mask", "grey"), ("mask", "blur"), ("mask", "blur", "grey", "other")]
)
def test_what_was_in_a_hole_is_hidden_wherever_it_went(parts):
    """Photographs that differ in the hole only, and were then damaged on, look the same to a loss."""
    hole = jnp.ones((12, 10)).at[4:7, 3:6].set(0)
    kinds = {
        "mask": Mask(hole),
        "grey": Grayscale(),
        "blur": blur(0.8, 3),
        "other": Mask(jnp.ones((12, 10)).at[0].set(0)),
    }
    degradation, photo = Compose(tuple(kinds[part] for part in parts)), picture(7)
    pictures = [photo, jnp.where(hole[:, :, None] == 1, photo, 1.0)]
    for part in parts:
        pictures = [picture if part == "mask" else kinds[part](picture) for picture in pictures]
    seen = [degradation.hide_missing(picture) for picture in pictures]
    np.testing.assert_array_equal(*seen)
    hidden = np.all(np.asarray(seen[0]) == np.float32(FILL), -1)
    # by hand: 3x3 pixels, 5x5 once a kernel of three taps went over them, and the first row where that is missing, too
    assert hidden.sum() == (25 if "blur" in parts else 9) + (10 if "other" in parts else 0)
    np.testing.assert_array_equal(degradation.hide_missing(seen[0]), seen[0])
    gradient = jax.grad(lambda image: jnp.sum(observe(degradation, image) * picture(4)))(photo)
    assert not np.asarray(gradient)[np.asarray(hole) == 0].any() and np.isfinite(gradient).all()


def test_a_blur_compiles_to_a_program_without_large_constants():
    """The matrix of 256 pixels alone has 262 KB; in a program that computes it, it is temporary memory."""
    image = jax.ShapeDtypeStruct((256, 256, 3), jnp.float32)
    text = jax.jit(lambda f, image: f(image)).lower(blur(2.5, 13), image).as_text()
    assert "stablehlo" in text and len(text) < 40_000  # seen: 18,400


def test_second_derivatives_to_sigma_are_those_of_finite_differences():
    image, weights = picture(1), picture(2)
    slope = jax.grad(lambda sigma: jnp.sum(GaussianBlur(sigma, 7)(image) * weights))
    for sigma in (0.6, 1.3, 4.0):
        expected = (slope(jnp.float32(sigma + 0.01)) - slope(jnp.float32(sigma - 0.01))) / 0.02
        np.testing.assert_allclose(jax.grad(slope)(jnp.float32(sigma)), expected, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("name", LINEAR)
def test_they_are_frozen_pytrees_of_the_protocol(name):
    degradation = LINEAR[name]
    assert isinstance(degradation, Degradation)
    leaves, structure = jax.tree.flatten(degradation)
    np.testing.assert_array_equal(jax.tree.unflatten(structure, leaves)(picture(1)), degradation(picture(1)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        degradation.anything = 1
