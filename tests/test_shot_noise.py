"""The models of noise: their moments, their gradients, and what is drawn when."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.degradations import Compose, Denoising, Dimming, Grayscale, Mask, ShotNoise, sample, without_draws

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
KEY = jax.random.key(0)


def shot_noise(photons: float, drop: float) -> ShotNoise:
    return ShotNoise(Dimming(jnp.float32(drop)), jnp.float32(photons), jnp.float32(drop), jax.random.key_data(KEY))


def test_a_draw_has_the_mean_and_variance_of_the_paper():
    """At x = .4, n = 96: mean x - 1 / (2 n), variance x / n; clipped at neither end (six standard deviations)."""
    drawn = (shot_noise(96.0, 0.0)(jnp.full((256, 256, 3), 2 * 0.4 - 1)) + 1) / 2
    assert abs(float(drawn.mean()) - (0.4 - 0.5 / 96)) < 6e-4  # 4 standard errors: 4 * .0645 / sqrt(196,608)
    assert abs(float(drawn.var()) / (0.4 / 96) - 1) < 0.013  # 4 * sqrt(2 / 196,608)


def test_dropped_pixels_are_black_in_all_channels():
    drawn = np.asarray(shot_noise(96.0, 0.3)(jnp.full((128, 128, 3), 0.5)))
    black = (drawn == -1).all(-1)
    assert abs(black.mean() - 0.3) < 4 * (0.3 * 0.7 / 128**2) ** 0.5
    assert not (drawn[~black] == -1).any()


def test_the_gradient_is_that_of_the_soft_clipping():
    """Against finite differences of the sigmoid; within the range the value itself is not clipped."""
    noise = shot_noise(1e6, 0.0)
    for level in (0.2, 0.5, 1.5):
        image = jnp.full((2, 2, 3), 2 * level - 1)
        slope = jax.grad(lambda x: jnp.sum(noise(x)))(image)[0, 0, 0]
        sigmoid = [1 / (1 + np.exp(-2 * (level + step - 0.5))) for step in (1e-4, -1e-4)]
        np.testing.assert_allclose(slope, (sigmoid[0] - sigmoid[1]) / 2e-4, rtol=2e-2)  # the noise moves the place


def test_every_key_draws_anew_and_the_same_key_the_same():
    image = jnp.zeros((8, 8, 3))
    chain = Compose((Grayscale(), shot_noise(24.0, 0.2), Mask(jnp.ones((8, 8)))))
    first, again, other = (sample(chain, jax.random.key(seed))(image) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert sample(Grayscale(), KEY) == Grayscale()
    keys = jax.random.split(KEY, 3)
    together = jax.vmap(lambda key: sample(chain, key)(image))(keys)
    np.testing.assert_allclose(together[1], sample(chain, keys[1])(image), atol=1e-6)


def test_without_draws_the_mean_is_assumed():
    chain = without_draws(Compose((shot_noise(24.0, 0.25), Grayscale())))
    assert [type(part) for part in chain.parts] == [Dimming, Grayscale]
    # By hand: level .8, a quarter of it missing, is .6.
    np.testing.assert_allclose(chain(jnp.full((2, 2, 3), 0.6)), 0.2, atol=1e-6)
    # Noise that has no key yet does the same.
    grey = jnp.full((2, 2, 3), 0.6)
    np.testing.assert_array_equal(ShotNoise(chain.parts[0], 24.0, 0.25)(grey), chain.parts[0](grey))


def test_black_pixels_of_an_observation_are_taken_for_dropped_ones():
    observed = jnp.full((2, 2, 3), -1.0).at[0, 0, 1].set(-1 + 2 / 255).at[1, 1].set(0.3)
    noisy = Denoising.of(observed, 24.0)
    np.testing.assert_array_equal(noisy.mask, [[1, 0], [0, 1]])  # one channel above black is enough
    assert float(noisy.photons) == 24
    np.testing.assert_array_equal(noisy(observed)[0, 0], observed[0, 0])
