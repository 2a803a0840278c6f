"""Restoration: its properties for every kind of degradation, and its numbers against dense solutions."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import fft

import jaxgan
from jaxgan import conditional_mean, jpeg_intervals, linear_inverse, pooled_mean, restoration, spectra, tension
from jaxgan.conditional_mean import Covariance
from jaxgan.degradations import (
    JPEG,
    Compose,
    Denoising,
    Dimming,
    GaussianBlur,
    Grayscale,
    Identity,
    Mask,
    MotionBlur,
    Pooling,
    ShotNoise,
    pytree,
)
from jaxgan.restoration import GRAIN, ROUNDING, Knowledge, complete, default_noise, has_inverse

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
SIZE = 16
SHAPE = (SIZE, SIZE, 3)
HOLE = jnp.ones((SIZE, SIZE)).at[5:9, 6:11].set(0)


def smooth(seed: int, strength: float, number: int) -> np.ndarray:
    """Pictures with the spectrum of natural ones, `k^-3` in power, and correlated colours."""
    k = np.maximum(np.hypot(*np.mgrid[:SIZE, :SIZE]), 1)[None, :, :, None]
    noise = np.random.default_rng(seed).standard_normal((number, *SHAPE)) @ [[1, 0.8, 0.7], [0, 0.4, 0.2], [0, 0, 0.3]]
    return np.clip(strength * fft.idctn(SIZE * k**-1.5 * noise, axes=(1, 2), norm="ortho"), -1, 1)


TRUTHS, ERRORS = smooth(0, 0.3, 24), smooth(1, 0.15, 24)
TRUTHS[12:] *= 0.7  # the generator can draw all of them without leaving the range
TRUTHS, RECONSTRUCTIONS = (0.6 * pictures for pictures in (TRUTHS, TRUTHS + ERRORS))
SPECTRUM = spectra.measure_spectrum(TRUTHS[12:], RECONSTRUCTIONS[12:])


@pytree
@dataclasses.dataclass(frozen=True)
class Shade:
    """A linear degradation that the library does not know: light falls off, and red leaks into green."""

    light: jax.Array

    def __call__(self, image):
        return (image @ jnp.asarray([[1.0, 0.3, 0.0], [0.0, 0.7, 0.0], [0.0, 0.0, 1.0]])) * self.light[:, None, None]

    def hide_missing(self, observed):
        return observed


class Clip:
    """Nothing linear, and without an inverse."""

    def __call__(self, image):
        return jnp.clip(image, -0.1, 0.1)

    def hide_missing(self, observed):
        return observed


class Inverted(Clip):
    """One that brings its inverse along."""

    def complete(self, observed, reconstruction, knowledge):
        return np.where(np.abs(observed) < 0.1, observed, reconstruction) + knowledge.fidelity


jax.tree_util.register_pytree_node(Clip, lambda clip: ((), None), lambda _, leaves: Clip())
jax.tree_util.register_pytree_node(Inverted, lambda clip: ((), None), lambda _, leaves: Inverted())
BLUR = GaussianBlur(jnp.float32(1.2), 7)
SHADE = Shade(jnp.linspace(0.3, 1.0, SIZE))
POOLING, NOISY = Pooling(jnp.int32(4)), Denoising(HOLE, jnp.float32(500))
KINDS = {
    "motion": MotionBlur.of(4.0, 30.0),
    "pooling": POOLING,
    "denoising": NOISY,
    "jpeg": JPEG.of_quality(40),
    "blur, pooling, denoising": Compose((BLUR, Pooling(jnp.int32(2)), NOISY)),
    "grey, pooling, mask": Compose((Grayscale(), Pooling(jnp.int32(2)), Mask(HOLE))),
    "pooling, jpeg, mask": Compose((Pooling(jnp.int32(2)), JPEG.of_quality(60, factor=2), Mask(HOLE))),
    "identity": Identity(),
    "mask": Mask(HOLE),
    "grey": Grayscale(),
    "blur": BLUR,
    "own": SHADE,
    "grey, mask": Compose((Grayscale(), Mask(HOLE))),
    "blur, grey, mask": Compose((BLUR, Grayscale(), Mask(HOLE))),
    "mask, blur": Compose((Mask(HOLE), BLUR)),
}


def restore(observed, degradation, reconstruction, **options) -> np.ndarray:
    """Before the final clipping and rounding."""
    knowledge = Knowledge(SPECTRUM, ROUNDING, 0.0)._replace(**options)
    return complete(degradation, np.asarray(observed, np.float64), np.asarray(reconstruction, np.float64), knowledge)


@jax.jit
def degrade(degradation, image):
    return degradation(image)


def in_8_bits(image) -> np.ndarray:
    return np.asarray(np.rint((np.asarray(image, np.float64) + 1) * 127.5) / 127.5 - 1, np.float32)


@pytest.mark.parametrize("name", KINDS)
def test_a_generator_that_is_right_is_believed(name):
    """y = A(truth) and x = truth give the truth: a zero residual gives a zero correction."""
    truth = TRUTHS[0].astype(np.float32)
    observed = degrade(KINDS[name], truth)
    # Largest seen: 1e-6; A computes in float32 here and in float64 there. A file holds whole levels: seen 5e-4.
    tolerance = 2e-3 if "jpeg" in name else 1e-5
    np.testing.assert_allclose(restore(observed, KINDS[name], truth), truth, atol=tolerance)
    np.testing.assert_allclose(jaxgan.restore(observed, KINDS[name], truth, spectrum=SPECTRUM), truth, atol=tolerance)


@pytest.mark.parametrize("name", KINDS)
def test_it_is_nearer_to_the_truth_than_the_reconstruction(name):
    for index in range(3):
        observed = in_8_bits(degrade(KINDS[name], TRUTHS[index]))
        error = np.mean((restore(observed, KINDS[name], RECONSTRUCTIONS[index]) - TRUTHS[index]) ** 2)
        assert error < 0.7 * np.mean((RECONSTRUCTIONS[index] - TRUTHS[index]) ** 2)


@pytest.mark.parametrize("fidelity", [0.0, 0.4, 1.0])
def test_observed_pixels_stay_bit_for_bit(fidelity):
    observed, kept = in_8_bits(TRUTHS[0]), np.asarray(HOLE) == 1
    scratched = np.where(kept[..., None], observed, 0.9).astype(np.float32)
    results = [
        jaxgan.restore(picture, Mask(HOLE), RECONSTRUCTIONS[0], spectrum=SPECTRUM, fidelity=fidelity)
        for picture in (observed, scratched)
    ]
    np.testing.assert_array_equal(results[0][kept], observed[kept])
    np.testing.assert_array_equal(*results)


def test_a_hole_is_filled_with_the_reconstruction_and_the_extended_residual():
    observed = in_8_bits(TRUTHS[0])
    residual = tension.fill(observed - RECONSTRUCTIONS[0], np.asarray(HOLE) == 0, 0.029 * SIZE)
    expected = RECONSTRUCTIONS[0] + residual
    np.testing.assert_allclose(restore(observed, Mask(HOLE), RECONSTRUCTIONS[0]), expected, atol=1e-6)
    nothing = Mask(jnp.zeros((SIZE, SIZE)))
    np.testing.assert_array_equal(restore(observed, nothing, RECONSTRUCTIONS[0]), RECONSTRUCTIONS[0])


@pytest.mark.parametrize("name", ["grey", "blur, grey, mask"])
def test_luminance_is_the_observed_one(name):
    observed = in_8_bits(degrade(KINDS[name], TRUTHS[0]))
    again = degrade(KINDS[name], restore(observed, KINDS[name], RECONSTRUCTIONS[0]))
    np.testing.assert_allclose(again, KINDS[name].hide_missing(observed) * (again != 0), atol=2 / 255)


def test_colours_are_pulled_into_range_without_a_change_of_luminance():
    observed = np.full((1, 3, 3), [[[0.8], [-0.5], [0.0]]])
    vivid = np.array([[[1.0, -0.2, -0.8], [-0.4, 0.9, -0.5], [0.3, 0.0, -0.3]]])
    # By hand: chroma (1, -.2, -.8) has room .2 above .8: a fifth of it. (-.4, .9, -.5) about 0: .5 below -.5 in the
    # last, .4 in the first: all. The third fits as it is.
    expected = [[[1.0, 0.76, 0.64], [-0.9, 0.4, -1.0], [0.3, 0.0, -0.3]]]
    np.testing.assert_allclose(restore(observed, Grayscale(), vivid), expected, atol=1e-12)


def test_a_blurred_restoration_is_the_observation_up_to_the_noise():
    for noise in (ROUNDING, 0.02):
        rms = []
        for index in range(12):
            degraded = np.asarray(degrade(BLUR, TRUTHS[index]))
            draw = np.random.default_rng(index).standard_normal(SHAPE)
            observed = in_8_bits(degraded) if noise == ROUNDING else degraded + 2 * noise * draw
            restored = restore(observed, BLUR, RECONSTRUCTIONS[index], noise=noise)
            rms.append(np.mean((degrade(BLUR, restored) - observed) ** 2) ** 0.5 / 2)
        assert max(rms) <= noise, rms


def dense(degradation) -> np.ndarray:
    pixels = jnp.eye(SIZE**2 * 3).reshape(-1, *SHAPE)
    return np.asarray(jax.vmap(degradation)(pixels), np.float64).reshape(len(pixels), -1).T


@pytest.mark.parametrize("name", ["blur", "own", "mask"])
def test_conjugate_gradients_find_the_conditional_mean(name):
    """Against `S A' (A S A' + s^2)^-1` with matrices that were written out."""
    known = np.asarray(HOLE) == 1 if name == "mask" else np.ones((SIZE, SIZE), bool)
    map_, noise = conditional_mean.linear_map(KINDS[name], known), 0.01
    covariance = Covariance(SPECTRUM.colours, spectra.gain_and_variance(SPECTRUM, SHAPE[:2], 0.0)[1])
    degraded = conditional_mean.degraded_variance(map_, covariance)
    a = dense(KINDS[name])
    units = np.eye(len(a)).reshape(-1, *SHAPE)
    basis = spectra.from_coefficients(units, SPECTRUM.colours).reshape(len(a), -1).T
    s = basis * covariance.variance.ravel() @ basis.T
    residual = np.random.default_rng(0).uniform(-0.1, 0.1, SHAPE) * known[..., None]
    exact = s @ a.T @ np.linalg.solve(a @ s @ a.T + noise**2 * np.eye(len(a)), residual.ravel())
    whole = covariance.variance if name == "mask" else degraded
    found = conditional_mean.conditional_mean(map_, covariance, whole, noise, residual)
    np.testing.assert_allclose(found.ravel(), exact, atol=3e-2 * np.abs(exact).max())  # largest seen: 5e-3
    # The diagonal that eight pictures tell, with that of the neighbours, is right within a half on average.
    diagonal = np.diag(basis.T @ a @ s @ a.T @ basis).reshape(SHAPE)
    assert np.abs(np.log(degraded / diagonal)).mean() < 0.5


def test_a_residual_larger_than_expected_is_told_by_its_factor():
    map_ = conditional_mean.linear_map(BLUR, np.ones((SIZE, SIZE), bool))
    covariance = Covariance(SPECTRUM.colours, spectra.gain_and_variance(SPECTRUM, SHAPE[:2], 0.0)[1])
    degraded = conditional_mean.degraded_variance(map_, covariance)
    generator = np.random.default_rng(5)
    for factor in (0.1, 1.0, 30.0):
        draw = np.sqrt(factor * covariance.variance) * generator.standard_normal(SHAPE)
        residual = map_.forward(spectra.from_coefficients(draw, covariance.colours))
        residual += 0.002 * generator.standard_normal(SHAPE)
        found = conditional_mean.fitted_factor(covariance.colours, degraded, 0.002**2, residual)
        assert 0.6 < found / factor < 1.6  # seen: 0.8 to 1.2
    assert conditional_mean.fitted_factor(covariance.colours, degraded, 100.0, residual) == 1.0  # all is noise


@pytest.mark.parametrize("name", ["identity", "mask", "grey", "grey, mask"])
def test_it_is_affine_in_the_observation(name):
    x, (a, b) = 0.3 * RECONSTRUCTIONS[0], 0.3 * TRUTHS[1:3]  # far from the borders of the gamut
    a, b = (np.asarray(degrade(KINDS[name], truth)) for truth in (a, b))
    mixed = restore(0.3 * a + 0.7 * b, KINDS[name], x)
    separate = 0.3 * restore(a, KINDS[name], x) + 0.7 * restore(b, KINDS[name], x)
    np.testing.assert_allclose(mixed, separate, atol=1e-6)


def test_a_conditional_mean_is_linear_in_the_residual():
    map_ = conditional_mean.linear_map(BLUR, np.ones((SIZE, SIZE), bool))
    covariance = Covariance(SPECTRUM.colours, spectra.gain_and_variance(SPECTRUM, SHAPE[:2], 0.0)[1])
    degraded = conditional_mean.degraded_variance(map_, covariance)
    a, b = TRUTHS[:2]
    one, two, both = (
        conditional_mean.conditional_mean(map_, covariance, degraded, 0.01, picture) for picture in (a, b, a - 2 * b)
    )
    np.testing.assert_allclose(both, one - 2 * two, atol=3e-2 * np.abs(both).max())


def test_a_higher_fidelity_has_less_squared_error():
    for name in ("blur", "own", "mask"):
        errors = []
        for fidelity in (0.0, 1.0):
            results = [
                restore(in_8_bits(degrade(KINDS[name], truth)), KINDS[name], x, fidelity=fidelity)
                for truth, x in zip(TRUTHS[:8], RECONSTRUCTIONS[:8], strict=True)
            ]
            errors.append(np.mean((np.stack(results) - TRUTHS[:8]) ** 2))
        assert errors[1] < errors[0], name


@pytest.mark.parametrize("fidelity", [0.0, 1.0])
def test_a_restoration_of_a_small_picture_has_its_means(fidelity):
    observed = np.asarray(degrade(POOLING, TRUTHS[0]), np.float64)
    restored = restore(observed, POOLING, RECONSTRUCTIONS[0], noise=0.0, fidelity=fidelity)
    np.testing.assert_allclose(pooled_mean.pool(restored, 4), pooled_mean.pool(observed, 4), atol=1e-5)  # seen: 4e-7
    np.testing.assert_allclose(degrade(POOLING, restored.astype(np.float32)), observed, atol=1e-5)


def test_the_closed_form_of_pooling_is_the_conditional_mean():
    """Against the conjugate gradients of the large picture, where each tile repeats its noise."""
    map_ = conditional_mean.linear_map(POOLING, np.ones((SIZE, SIZE), bool))
    covariance = Covariance(SPECTRUM.colours, spectra.gain_and_variance(SPECTRUM, SHAPE[:2], 0.0)[1])
    residual = np.random.default_rng(0).uniform(-0.1, 0.1, (4, 4, 3))
    degraded = pooled_mean.degraded_variance(covariance, 4)
    found = pooled_mean.conditional_mean(covariance, 4, degraded, 0.01, residual)
    large = residual.repeat(4, 0).repeat(4, 1)
    whole = conditional_mean.degraded_variance(map_, covariance)
    expected = conditional_mean.conditional_mean(map_, covariance, whole, 4 * 0.01, large)
    np.testing.assert_allclose(found, expected, atol=1e-2 * np.abs(expected).max())  # seen: 2e-3


@pytest.mark.parametrize(("factor", "subsampling"), [(1, (2, 2)), (1, (1, 1)), (2, (1, 1))])
def test_every_coefficient_lies_in_the_interval_of_its_file(factor, subsampling):
    jpeg = JPEG.of_quality(20, factor=factor, subsampling=subsampling)
    for truth, x in zip(TRUTHS[:4], RECONSTRUCTIONS[:4], strict=True):
        observed = in_8_bits(degrade(jpeg, truth))
        restored = restore(observed, jpeg, x)
        small = [pooled_mean.pool(image, factor) for image in (truth, x, restored)]
        of_truth, before, after = (jpeg_intervals.coefficients(image, subsampling) for image in small)
        steps = (jpeg.luminance, jpeg.chrominance, jpeg.chrominance)
        was_outside = 0
        for plane, step in enumerate(steps):
            width = np.asarray(step, np.float64)[None, :, None, :]
            middle = width * np.rint(of_truth[plane] / width)
            assert (np.abs(after[plane] - middle) <= width / 2 + 1e-6).mean() > 0.97  # the file rounded values first
            was_outside += (np.abs(before[plane] - middle) > width / 2).sum()
            known = np.rint(jpeg_intervals.of_observation(pooled_mean.pool(observed, factor), jpeg)[plane] / width)
            assert (np.abs(after[plane] - width * known) <= width / 2 + 1e-6).all()
        assert was_outside > 0


def test_noise_of_photons_is_that_of_each_pixel():
    """Against a dense solution with a variance per pixel."""
    covariance = Covariance(SPECTRUM.colours, spectra.gain_and_variance(SPECTRUM, SHAPE[:2], 0.0)[1])
    map_ = conditional_mean.linear_map(NOISY, np.asarray(HOLE) == 1)
    noise = linear_inverse.noise_of_pixels(NOISY, RECONSTRUCTIONS[0] / 2, 0.003)
    levels = RECONSTRUCTIONS[0] / 2 + 0.5
    np.testing.assert_allclose(noise**2, np.maximum(levels, 1 / 500) / 500 + 0.003**2)
    a, units = dense(NOISY), np.eye(SIZE**2 * 3).reshape(-1, *SHAPE)
    basis = spectra.from_coefficients(units, SPECTRUM.colours).reshape(len(a), -1).T
    s = basis * covariance.variance.ravel() @ basis.T
    residual = np.random.default_rng(0).uniform(-0.1, 0.1, SHAPE) * map_.known[..., None]
    exact = s @ a.T @ np.linalg.solve(a @ s @ a.T + np.diag(noise.ravel() ** 2), residual.ravel())
    found = conditional_mean.conditional_mean(map_, covariance, covariance.variance, noise, residual)
    np.testing.assert_allclose(found.ravel(), exact, atol=3e-2 * np.abs(exact).max())


def test_what_was_dropped_does_not_matter_and_draws_are_inverted_by_their_mean():
    observed, kept = in_8_bits(TRUTHS[0]), np.asarray(HOLE)[..., None] == 1
    black = np.where(kept, observed, -1)
    drawn = ShotNoise(NOISY, jnp.float32(500), jnp.float32(0.1), jax.random.key_data(jax.random.key(0)))
    results = [
        jaxgan.restore(seen.astype(np.float32), kind, RECONSTRUCTIONS[0], spectrum=SPECTRUM)
        for seen, kind in ((observed, NOISY), (black, NOISY), (black, drawn))
    ]
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)
    np.testing.assert_array_equal(results[1], results[2])
    assert has_inverse(drawn, SHAPE) and has_inverse(Compose((BLUR, drawn)), SHAPE)


def test_noise_that_was_compressed_has_no_inverse():
    chain = Compose((POOLING, Dimming(jnp.float32(0.16)), JPEG.of_quality(12, factor=4)))
    assert not has_inverse(chain, SHAPE) and restoration.inverse_name(chain, SHAPE) is None
    x = RECONSTRUCTIONS[0]
    np.testing.assert_array_equal(restore(in_8_bits(degrade(chain, TRUTHS[0])), chain, x), x)


def test_chains_are_undone_in_as_few_pieces_as_possible():
    names = {
        "blur, pooling, denoising": "conditional mean",
        "pooling, jpeg, mask": "spline in tension, then coefficients moved into the file's intervals, then conditional "
        "mean",
        "grey, mask": "spline in tension, then observed luminance",
    }
    for name, expected in names.items():
        assert restoration.inverse_name(KINDS[name], SHAPE) == expected
    two = Compose((BLUR, POOLING, JPEG.of_quality(50, factor=4)))
    assert restoration.inverse_name(two, SHAPE).count("conditional mean") == 1


def test_own_degradations():
    observed, x = np.asarray(Clip()(jnp.asarray(TRUTHS[0]))), RECONSTRUCTIONS[0]
    assert has_inverse(SHADE, SHAPE) and has_inverse(Inverted(), SHAPE) and not has_inverse(Clip(), SHAPE)
    np.testing.assert_array_equal(restore(observed, Clip(), x), x)
    np.testing.assert_array_equal(
        restore(observed, Inverted(), x, fidelity=0.5), np.where(np.abs(observed) < 0.1, observed, x) + 0.5
    )
    # A chain is inverted if all of it can be.
    assert has_inverse(Compose((Inverted(), Mask(HOLE))), SHAPE)
    assert not has_inverse(Compose((Clip(), Mask(HOLE))), SHAPE)
    np.testing.assert_array_equal(restore(observed, Compose((Clip(), Mask(HOLE))), x), x)


def test_a_chain_is_undone_from_its_end():
    """By hand: the hole in the grey picture is filled, and then the picture coloured."""
    both = Compose((Grayscale(), Mask(HOLE)))
    observed, x = both(jnp.asarray(TRUTHS[0])), RECONSTRUCTIONS[0]
    grey = np.asarray(Grayscale()(jnp.asarray(x, jnp.float32)), np.float64)
    filled = restore(observed, Mask(HOLE), grey)
    np.testing.assert_allclose(restore(observed, both, x), restore(filled, Grayscale(), x), atol=1e-12)


def test_the_result_is_an_image_and_the_reconstruction_is_clipped_first():
    observed, x = in_8_bits(TRUTHS[0]), 4 * RECONSTRUCTIONS[0]
    result = jaxgan.restore(jnp.asarray(observed), Mask(HOLE), jnp.asarray(x))
    assert result.dtype == np.float32 and np.abs(result).max() <= 1 < np.abs(x).max()
    clipped = jaxgan.restore(observed, Mask(HOLE), np.clip(x, -1, 1))
    np.testing.assert_allclose(result, clipped, atol=1e-6)  # seen: 6e-8


@pytest.mark.parametrize("name", ["blur", "own", "mask, blur"])
def test_without_a_spectrum_the_embedded_networks_is_taken(name):
    observed = in_8_bits(degrade(KINDS[name], TRUTHS[0]))
    restored = jaxgan.restore(observed, KINDS[name], RECONSTRUCTIONS[0])
    assert np.mean((restored - TRUTHS[0]) ** 2) < 0.8 * np.mean((RECONSTRUCTIONS[0] - TRUTHS[0]) ** 2)
    given = linear_inverse.default_spectrum(KINDS[name], SHAPE)
    np.testing.assert_array_equal(restored, jaxgan.restore(observed, KINDS[name], RECONSTRUCTIONS[0], spectrum=given))


def test_wrong_arguments_are_told():
    image = TRUTHS[0]
    with pytest.raises(ValueError, match=r"observed has shape \(16, 16, 3\), reconstruction \(8, 16, 3\)"):
        jaxgan.restore(image, Identity(), image[:8])
    with pytest.raises(ValueError, match=r"observed has shape \(16, 3\), .* expected \[H, W, 3\] twice"):
        jaxgan.restore(image[0], Identity(), image[0])
    for options in ({"noise": -1.0}, {"noise": np.nan}, {"fidelity": 1.5}):
        with pytest.raises(ValueError, match="expected 0 or more, and a number from 0 to 1"):
            jaxgan.restore(image, Identity(), image, **options)


@pytest.mark.usefixtures("unchecked_shapes")
def test_images_of_files_are_refused():
    image, levels = np.zeros((16, 16, 3), np.float32), np.full((16, 16, 3), 200, np.uint8)
    with pytest.raises(TypeError, match="reconstruction is an array of uint8"):
        jaxgan.restore(image, Grayscale(), levels)
    with pytest.raises(TypeError, match="observed is an array of uint8"):
        jaxgan.restore(levels, Grayscale(), image)
    with pytest.raises(ValueError, match="observed has values from 200 to 200"):
        jaxgan.restore(levels.astype(np.float32), Grayscale(), image)


@pytest.mark.parametrize("blur", [GaussianBlur(0.0, 5), GaussianBlur(np.nan, 5)])
def test_what_is_not_finite_is_refused(blur):
    with pytest.raises(ValueError):
        jaxgan.restore(jnp.zeros((16, 16, 3)), blur, jnp.full((16, 16, 3), 0.5))
    with pytest.raises(ValueError, match="not finite"):
        jaxgan.restore(jnp.full((16, 16, 3), jnp.nan), Identity(), jnp.zeros((16, 16, 3)))


def test_a_blur_is_undone_as_if_it_had_left_a_little_more_noise():
    """Unless the least squared error is asked for, or the noise is stated."""
    more, holes = math.hypot(ROUNDING, GRAIN), Mask(HOLE)
    assert default_noise(BLUR) == default_noise(Compose((BLUR, holes))) == more
    assert default_noise(BLUR, 1.0) == default_noise(holes) == default_noise(POOLING) == ROUNDING
    observed = in_8_bits(degrade(BLUR, TRUTHS[0].astype(np.float32)))
    of_noise = [
        restoration.restore(observed, BLUR, RECONSTRUCTIONS[0], spectrum=SPECTRUM, noise=noise)
        for noise in (None, more, ROUNDING)
    ]
    np.testing.assert_array_equal(of_noise[0], of_noise[1])
    assert abs(of_noise[0] - of_noise[2]).max() > 1 / 255
