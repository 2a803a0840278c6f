"""The first latent: a ridge regression, against NumPy's least squares, and what it is good for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxgan
from jaxgan import Generator, GeneratorConfig, latents, optimization, start
from jaxgan.degradations import Grayscale, Identity, Mask


@pytest.fixture(scope="module")
def small():
    """A random network whose images are larger than those that are compared."""
    config = GeneratorConfig(32, z_dim=8, w_dim=8, mapping_layers=2, channel_base=256, channel_max=16)
    return Generator(config, rngs=nnx.Rngs(3))


@pytest.fixture(scope="module")
def samples(small):
    return start.draw_samples(small, samples=32)


def test_samples_are_images_of_their_latents(small, samples):
    ws = latents.broadcast(samples.ws[5], num_ws=small.config.num_ws)
    image = jax.jit(lambda generator, ws: generator.synthesis(ws))(small, ws)
    expected = np.clip(np.rint((np.asarray(image) + 1) * 127.5), 0, 255)
    assert np.abs(samples.images[5].astype(np.float32) - expected).max() <= 1  # a half may round either way
    np.testing.assert_array_equal(samples.ws, latents.mapped_samples(small, samples=32))


@pytest.mark.parametrize("degradation", [Identity(), Grayscale()], ids=["identity", "grayscale"])
def test_the_guess_equals_primal_ridge_regression(samples, degradation):
    """One unknown per pixel mean and latent dimension, in float64: `W = (X'X + r I)^-1 X'Y`. Largest seen: 5e-5."""
    observed = degradation(samples.images[3] / 127.5 - 1)
    guess = start.guess(samples, degradation, observed)

    def means(image):
        return np.asarray(degradation(image), np.float64).reshape(16, 2, 16, 2, 3).mean((1, 3)).ravel()

    x = np.stack([means(image / np.float32(127.5) - 1) for image in samples.images])
    y = np.asarray(samples.ws, np.float64)
    xc, yc = x - x.mean(0), y - y.mean(0)
    ridge = start.RIDGE * (xc**2).sum() / len(x)
    weights = np.linalg.solve(xc.T @ xc + ridge * np.eye(x.shape[1]), xc.T @ yc)
    expected = y.mean(0) + (means(observed) - x.mean(0)) @ weights
    assert np.abs(guess - expected).max() < 5e-4 * np.abs(expected).max()


def test_what_is_not_observed_does_not_matter(samples):
    mask = Mask(jnp.ones((32, 32)).at[10:20, 10:20].set(0))
    observed = samples.images[0] / np.float32(127.5) - 1
    other = observed.at[10:20, 10:20].set(1.0)
    np.testing.assert_array_equal(start.guess(samples, mask, observed), start.guess(samples, mask, other))


def test_an_observation_that_says_nothing_gives_the_mean(samples):
    nothing = Mask(jnp.zeros((32, 32)))
    guess = start.guess(samples, nothing, jnp.zeros((32, 32, 3)))
    np.testing.assert_allclose(guess, samples.ws.mean(0), atol=1e-5)


def test_a_guessed_start_is_nearer_than_the_mean(small, lpips):
    """Of five images the network can make and that are not among the samples."""
    config = jaxgan.InversionConfig.for_task("invert")
    prior = optimization.make_prior(small, config)
    render = jax.jit(lambda generator, w: generator.synthesis(latents.broadcast(w, num_ws=generator.config.num_ws)))
    closer = 0
    for w in latents.mapped_samples(small, samples=5, seed=7):
        target = render(small, w)
        problem = optimization.make_problem(small, lpips, target, Identity(), config, prior=prior)
        errors = [jnp.mean((render(small, first) - target) ** 2) for first in (problem.start, prior.statistics.w_avg)]
        closer += bool(errors[0] < 0.7 * errors[1])
    assert closer >= 4


def test_without_samples_the_search_begins_at_the_mean(small, lpips):
    config = jaxgan.InversionConfig(w_samples=100)
    problem = optimization.make_problem(small, lpips, jnp.zeros((32, 32, 3)), Identity(), config)
    np.testing.assert_array_equal(problem.start, problem.statistics.w_avg)
