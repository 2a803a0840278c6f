"""The first latent: a ridge regression, against NumPy's least squares, and what it is good for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import latents, optimization, start
from jaxgan.degradations import Grayscale, Identity, Mask


@pytest.fixture(scope="module")
def samples(demo):
    return start.draw_samples(demo, samples=32)


def test_samples_are_images_of_their_latents(demo, samples):
    ws = latents.broadcast(samples.ws[5], num_ws=demo.config.num_ws)
    image = jax.jit(lambda generator, ws: generator.synthesis(ws))(demo, ws)
    expected = np.clip(np.rint((np.asarray(image) + 1) * 127.5), 0, 255)
    assert np.abs(samples.images[5].astype(np.float32) - expected).max() <= 1  # a half may round either way
    np.testing.assert_array_equal(samples.ws, latents.mapped_samples(demo, samples=32))


@pytest.mark.parametrize("degradation", [Identity(), Grayscale()], ids=["identity", "grayscale"])
def test_the_guess_equals_primal_ridge_regression(samples, degradation):
    """One unknown per pixel mean and latent dimension, in float64: `W = (X'X + r I)^-1 X'Y`. Largest seen: 5e-5."""
    observed = degradation(samples.images[3] / 127.5 - 1)
    guess = start.guess(samples, degradation, observed)

    def means(image):
        return np.asarray(degradation(image), np.float64).reshape(16, 4, 16, 4, 3).mean((1, 3)).ravel()

    x = np.stack([means(image / np.float32(127.5) - 1) for image in samples.images])
    y = np.asarray(samples.ws, np.float64)
    xc, yc = x - x.mean(0), y - y.mean(0)
    ridge = start.RIDGE * (xc**2).sum() / len(x)
    weights = np.linalg.solve(xc.T @ xc + ridge * np.eye(x.shape[1]), xc.T @ yc)
    expected = y.mean(0) + (means(observed) - x.mean(0)) @ weights
    assert np.abs(guess - expected).max() < 5e-4 * np.abs(expected).max()


def test_what_is_not_observed_does_not_matter(samples):
    mask = Mask(jnp.ones((64, 64)).at[20:40, 20:40].set(0))
    observed = samples.images[0] / np.float32(127.5) - 1
    other = observed.at[20:40, 20:40].set(1.0)
    np.testing.assert_array_equal(start.guess(samples, mask, observed), start.guess(samples, mask, other))


def test_an_observation_that_says_nothing_gives_the_mean(samples):
    nothing = Mask(jnp.zeros((64, 64)))
    guess = start.guess(samples, nothing, jnp.zeros((64, 64, 3)))
    np.testing.assert_allclose(guess, samples.ws.mean(0), atol=1e-5)


def test_a_guessed_start_is_nearer_than_the_mean(demo, lpips):
    """Of five faces the network can make and that are not among the samples."""
    config = jaxgan.InversionConfig.for_task("invert")
    prior = optimization.make_prior(demo, config)
    render = jax.jit(lambda generator, w: generator.synthesis(latents.broadcast(w, num_ws=generator.config.num_ws)))
    closer = 0
    for w in latents.mapped_samples(demo, samples=5, seed=7):
        target = render(demo, w)
        problem = optimization.make_problem(demo, lpips, target, Identity(), config, prior=prior)
        errors = [jnp.mean((render(demo, first) - target) ** 2) for first in (problem.start, prior.statistics.w_avg)]
        closer += bool(errors[0] < 0.7 * errors[1])
    assert closer >= 4


def test_without_samples_the_search_begins_at_the_mean(demo, lpips):
    config = jaxgan.InversionConfig(w_samples=100)
    problem = optimization.make_problem(demo, lpips, jnp.zeros((64, 64, 3)), Identity(), config)
    np.testing.assert_array_equal(problem.start, problem.statistics.w_avg)
