"""Unknown parameters of a damage: their estimates, and what these are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import blind, compression_comb, dropped_pixels, images, parameters, power_likelihood, start, truths
from jaxgan.degradations import JPEG, Compose, Denoising, GaussianBlur, Grayscale, Mask, MotionBlur, Pooling, ShotNoise
from jaxgan.truths import Compression, Exactly, PoissonNoise, Reduction

SIZE = 32


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """Smooth random pictures of 32x32 pixels in 8 bits, all of one power spectrum."""
    draws = np.random.default_rng(0).normal(size=(13, SIZE, SIZE, 3))
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIZE) * SIZE] * 2))
    spectrum = np.fft.fft2(draws, axes=(1, 2)) / (1 + frequency[None, :, :, None]) ** 1.5
    values = np.fft.ifft2(spectrum, axes=(1, 2)).real
    return images.to_uint8((0.4 * values / values.std()).clip(-1, 1).astype(np.float32))


@pytest.fixture(scope="module")
def samples(pictures) -> start.Samples:
    """Of a network that makes such pictures; the last of them is what is observed."""
    return start.Samples(jnp.zeros((12, 8)), jnp.asarray(pictures[:-1]))


@pytest.fixture(scope="module")
def network() -> jaxgan.Generator:
    """Of 32x32 pixels and without weights: its samples are given, and it is not run."""
    from flax import nnx

    config = jaxgan.GeneratorConfig(SIZE, z_dim=8, w_dim=8, mapping_layers=1, channel_base=64, channel_max=8)
    return nnx.eval_shape(lambda: jaxgan.Generator(config, rngs=nnx.Rngs(0)))


BLUR = parameters.widest_blur(SIZE)
CASES = {
    "sigma": ([Exactly(GaussianBlur(jnp.float32(1.2), BLUR.kernel_size))], [Exactly(BLUR)], {"sigma": 1.2}, 0.03),
    "length": (
        [Exactly(MotionBlur.of(5.0, 30.0, longest=8.0))],
        [Exactly(parameters.longest_motion(SIZE, 30.0))],
        {"length": 5.0},
        0.1,
    ),
    "noise": ([PoissonNoise(50.0, 0.1)], [PoissonNoise(7.0, 0.5)], {"photons": 50.0, "drop": 0.1}, 0.1),
    "quality": ([Compression(30)], [Compression(77)], {"quality": 30}, 0.05),
    "factor": ([Reduction(4)], [Reduction(2)], {"factor": 4}, 0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_a_parameter_is_found(case, pictures, samples, network):
    """Seen: 2.8 % (sigma), 6.1 % (length), 3.6 % (photons), 6.5 % (drop), exact (quality, factor)."""
    truth, assumed, expected, tolerance = CASES[case]
    observed = jnp.asarray(images.to_float(truths.damage(truth, pictures[-1], seed=0)))
    degradation = truths.assumed(assumed, observed)
    found = jaxgan.estimate_parameters(network, observed, degradation, tuple(expected), samples=samples)
    assert found.keys() == expected.keys()
    for name, one in found.items():
        assert one.value == pytest.approx(expected[name], rel=tolerance)
        assert one.spread[0] < one.spread[1] or name in ("quality", "factor")
        assert len(one.grid) == len(one.losses) and not one.flat
    if case == "sigma":
        again = jaxgan.estimate_parameters(network, observed, degradation, tuple(expected), samples=samples)
        assert again == found  # to the last bit


def test_the_grid_as_one_batch_equals_its_values_alone(pictures, samples):
    """But for the rounding of another compilation."""
    observed = jnp.asarray(images.to_float(truths.damage(CASES["sigma"][0], pictures[-1], seed=0)))
    facts = power_likelihood.facts(samples.images, BLUR, observed)
    grid = parameters.grid(BLUR, "sigma", SIZE)[[2, 8, 13]]
    losses, nuisance = blind._sweep(facts, BLUR, "sigma", grid)
    assert losses.shape == (3, 4) and nuisance.shape == (3, 2, 4)
    for index, sigma in enumerate(grid):
        alone, _ = blind._sweep(facts, BLUR, "sigma", grid[[index]])
        np.testing.assert_allclose(losses[index], alone[0], rtol=1e-5)
        contrast, floor = jnp.exp(jnp.asarray(nuisance[index], jnp.float32))
        blurred = parameters.with_parameters(BLUR, {"sigma": sigma})
        variance = power_likelihood.variance(blurred, facts, contrast, floor)
        np.testing.assert_allclose(power_likelihood.mean_losses(facts.power, variance), losses[index], rtol=1e-4)


SMOOTH = {
    "sigma": (BLUR, 1.3),
    "length": (parameters.longest_motion(SIZE, 20.0), 4.4),
    "photons": (Denoising(jnp.ones((SIZE, SIZE)), jnp.float32(1.0)), 33.0),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_equal_finite_differences(name, pictures, samples):
    degradation, value = SMOOTH[name]
    observed = jnp.asarray(images.to_float(pictures[-1]))
    facts = power_likelihood.facts(samples.images[:4], degradation, observed)
    log, nuisance = jnp.log(jnp.asarray([value])), jnp.log(jnp.array([[1.1] * 4, [2e-4] * 4]))

    def loss(log, nuisance):
        return blind.value_and_gradients(facts, degradation, (name,), log, nuisance)[0]

    _, (of_log, of_nuisance) = blind.value_and_gradients(facts, degradation, (name,), log, nuisance)
    step = 0.02
    difference = (loss(log + step, nuisance) - loss(log - step, nuisance)) / (2 * step)
    assert abs(float(of_log[0])) > 1e-3
    assert float(of_log[0]) == pytest.approx(float(difference), rel=0.02)  # seen: 0.4 %
    for row, column in ((0, 1), (1, 2)):
        change = jnp.zeros((2, 4)).at[row, column].set(step)
        difference = (loss(log, nuisance + change) - loss(log, nuisance - change)) / (2 * step)
        assert float(of_nuisance[row, column]) == pytest.approx(float(difference), rel=0.02, abs=2e-4)


def test_a_uniform_noise_of_photons_has_the_power_that_is_predicted(pictures):
    """Mid-grey pictures of 20 photons, also in tiles: variance x / n of a channel, a third of it of their mean."""
    grey = np.full((SIZE, SIZE, 3), 128, np.uint8)
    for chain in ([PoissonNoise(20.0, 0.0)], [Reduction(2), PoissonNoise(20.0, 0.0)]):
        power = []
        for seed in range(10):
            observed = jnp.asarray(images.to_float(truths.damage(chain, grey, seed=seed)))
            degradation = truths.assumed(chain, observed)
            facts = power_likelihood.facts(jnp.asarray(pictures[:1]), degradation, observed)
            power.append(np.asarray(facts.power))
        expected = np.asarray(power_likelihood.noise_power(degradation, facts))
        measured = np.mean(power, 0)
        for frequencies in (np.s_[:, 1:6, 1:6], np.s_[:, 8:, 8:]):  # 4 x 25 and 4 x 64 numbers of 10 draws
            assert measured[frequencies].mean() == pytest.approx(expected[frequencies].mean(), rel=0.15)


def test_quality_counts_steps_and_passes_holes_over(pictures):
    mask = np.ones((SIZE, SIZE), np.float32)
    mask[:8, :8] = 0
    chain = [Compression(30), truths.Hole(mask)]
    observed = jnp.asarray(images.to_float(truths.damage(chain, pictures[-1], seed=0)))
    degradation = truths.assumed(chain, observed)
    losses = compression_comb.losses(observed, degradation, np.arange(1, 101)).mean(1)
    assert losses.argmin() + 1 == 30
    sharp = compression_comb.losses(jnp.asarray(images.to_float(pictures[-1])), JPEG.of_quality(9), np.array([20, 60]))
    assert (sharp > losses.min() + 1).all()  # a picture that never was a file


def test_dropped_pixels_are_the_black_ones_that_light_would_have_reached():
    """A picture of level .2 and 5 photons: exp(-5 * .6) = 5 % of the pixels are black anyway, here none of them is."""
    observed = jnp.full((SIZE, SIZE, 3), -0.6).at[::4, ::2].set(-1.0)  # an eighth
    black, expected = dropped_pixels.black_shares(observed, Denoising.of(observed, 5.0))
    np.testing.assert_allclose(black, 0.125)
    np.testing.assert_allclose(expected, np.exp(-3.0), rtol=1e-3)
    found = dropped_pixels.share(black, expected)
    assert found == pytest.approx((0.125 - np.exp(-3.0)) / (1 - np.exp(-3.0)), rel=1e-3)
    shares = np.linspace(0.01, 0.99, 99)
    losses = dropped_pixels.losses(black, expected, shares).mean(1)
    assert abs(shares[losses.argmin()] - found) <= 0.005 + 1e-6  # half a step of the grid


def test_values_are_put_into_every_part():
    mask = Mask(jnp.ones((SIZE, SIZE)))
    shot = ShotNoise(Denoising(mask.mask, jnp.float32(9)), jnp.float32(9), jnp.float32(0.5), jnp.zeros(2, jnp.uint32))
    chain = Compose((BLUR, Grayscale(), Pooling(jnp.int32(2)), shot, JPEG.of_quality(10, factor=2), mask))
    values = {"sigma": 0.7, "factor": 4.0, "photons": 20.0, "drop": 0.25, "quality": 60.0}
    blur, grey, pooling, noise, jpeg, same = parameters.with_parameters(chain, values).parts
    assert (float(blur.sigma), int(pooling.factor), int(jpeg.factor)) == (pytest.approx(0.7), 4, 4)
    assert (float(noise.photons), float(noise.drop), float(noise.mean.photons)) == (20, 0.25, 20)
    np.testing.assert_array_equal(jpeg.luminance, JPEG.of_quality(60).luminance)
    assert grey == Grayscale() and same is mask and pooling.factor.dtype == jnp.int32
    assert jax.tree.structure(parameters.with_parameters(chain, values)) == jax.tree.structure(chain)


def test_only_parameters_that_there_are(network, pictures, samples):
    observed = jnp.asarray(images.to_float(pictures[-1]))
    with pytest.raises(
        ValueError, match="'length': the degradation has no such parameter. It has sigma, of sigma, len"
    ):
        jaxgan.estimate_parameters(network, observed, BLUR, ("sigma", "length"), samples=samples)
    with pytest.raises(ValueError, match=r"observed has shape .*; this generator makes \(32, 32, 3\)"):
        jaxgan.estimate_parameters(network, observed[:16], BLUR, ("sigma",), samples=samples)


@pytest.mark.slow
def test_sigma_of_pictures_of_the_network_itself(demo):
    """Seen: 4.7 % in the median, 11 % at most; a picture that is smoother than most of the network's looks blurred."""
    ws = jaxgan.latents.mapped_samples(demo, samples=6, seed=5)
    blur, samples = parameters.widest_blur(128), start.draw_samples(demo, samples=blind.MOST_SAMPLES)
    synthesize = jax.jit(demo.synthesis)
    errors = []
    for sigma, w in zip((2.0, 4.0, 3.0, 3.5, 2.5, 3.0), ws, strict=True):
        image = np.asarray(jnp.clip(synthesize(jaxgan.latents.broadcast(w, num_ws=demo.config.num_ws)), -1, 1))
        truth = Exactly(parameters.with_parameters(blur, {"sigma": sigma}))
        observed = jnp.asarray(images.to_float(truths.damage([truth], images.to_uint8(image), 0)))
        found = jaxgan.estimate_parameters(demo, observed, blur, ("sigma",), samples=samples)["sigma"]
        assert not found.flat
        errors.append(abs(found.value / sigma - 1))
    assert np.median(errors) < 0.06 and max(errors) < 0.15
