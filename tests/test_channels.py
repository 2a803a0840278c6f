"""Networks of 1 and 4 channels: they leave the generator's border as RGB, and are inverted like others."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from parity import call

import jaxgan
from jaxgan import generator as generators
from jaxgan import latents, optimization, start
from jaxgan.degradations import Compose, Grayscale, Identity
from jaxgan.latents import Latents

SMALL = {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}
QUICK = jaxgan.InversionConfig(steps=2, w_samples=20, start_samples=4)


def network(channels: int) -> jaxgan.Generator:
    config = jaxgan.GeneratorConfig(16, image_channels=channels, **SMALL)
    return jaxgan.Generator(config, rngs=nnx.Rngs(0))


def test_grey_is_repeated_and_alpha_left_off():
    image = jnp.arange(8.0).reshape(1, 2, 4)
    np.testing.assert_array_equal(generators.as_rgb(image), [[[0, 1, 2], [4, 5, 6]]])
    np.testing.assert_array_equal(generators.as_rgb(image[..., 2:3]), [[[2, 2, 2], [6, 6, 6]]])
    np.testing.assert_array_equal(generators.as_rgb(image[..., :3]), image[..., :3])


def test_a_network_with_alpha_is_inverted_as_rgb(narrow):
    generator = network(4)
    target = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (16, 16, 3)), jnp.float32)
    result = jaxgan.invert(generator, narrow, target, Identity(), QUICK, jax.random.key(0))
    whole = call(generator.synthesis, result.ws, result.noise)
    np.testing.assert_allclose(result.image, whole[..., :3], atol=1e-5)  # seen: 0
    np.testing.assert_allclose(result.alpha, whole[..., 3], atol=1e-5)


def test_a_grey_network_is_compared_as_rgb(narrow):
    """Its samples and its loss have three channels; nothing is compiled here, only traced."""
    generator = network(1)

    def terms(noise):
        problem = optimization.make_problem(generator, narrow, jnp.zeros((16, 16, 3)), Identity(), QUICK)
        return optimization.loss_terms(generator, narrow, problem, Latents(problem.start, noise), jax.random.key(0))

    noise = latents.sample_noise(jax.random.key(0), generator.config.noise_shapes)
    assert jax.eval_shape(terms, noise).total.shape == ()
    samples = jax.eval_shape(lambda: start.draw_samples(generator, samples=2))
    assert samples.images.shape == (2, 16, 16, 3)
    rendered = jax.eval_shape(optimization.render, generator, Latents(jnp.zeros(8), noise))
    assert rendered.shape == generator.config.image_shape == (16, 16, 3)


def test_a_grey_network_gives_no_colours(narrow):
    generator, target = network(1), jnp.zeros((16, 16, 3))
    for degradation in (Grayscale(), Compose((Identity(), Compose((Grayscale(),))))):
        with pytest.raises(ValueError, match="makes grey images; to give colours to a picture takes one of 3 channels"):
            jaxgan.invert(generator, narrow, target, degradation, QUICK, jax.random.key(0))


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(ValueError, match="image_channels must be 1, 3 or 4, got 2"):
        dataclasses.replace(network(1).config, image_channels=2)
