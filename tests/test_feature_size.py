"""The loop on networks larger than the size at which LPIPS compares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from parity import call
from test_losses import slow_area_resize

import jaxgan
from jaxgan import inversion, optimization
from jaxgan.degradations import Identity
from jaxgan.inversion_config import InversionConfig


@pytest.fixture(scope="module")
def lpips(narrow):
    """A narrow random one: these tests ask for what surrounds it."""
    return narrow


@pytest.mark.parametrize("resolution", [128, pytest.param(512, marks=pytest.mark.slow)])
def test_larger_images_are_reduced_by_area(resolution, lpips):
    """96 divides neither. The losses are those of pictures that were reduced by a slow loop in float64."""
    config = jaxgan.GeneratorConfig(resolution, z_dim=8, w_dim=8, channel_base=4 * resolution, channel_max=4)
    generator = jaxgan.Generator(config, rngs=nnx.Rngs(0))
    settings = InversionConfig(steps=2, feature_size=96, w_samples=10, jitter=0.0, noise_reg_weight=0.0)
    rng = np.random.default_rng(0)
    observed = jnp.asarray(np.kron(rng.uniform(-1, 1, (8, 8, 3)), np.ones((resolution // 8,) * 2 + (1,))), jnp.float32)
    key = jax.random.key(0)
    result = inversion.invert(generator, lpips, observed, Identity(), settings, key)
    prior = optimization.make_prior(generator, settings)
    start = optimization.initial_state(generator, prior.statistics.w_avg, settings, key).latents
    # The first loss is that of the start, the lowest that of the result.
    for image, loss in (
        (optimization.render(generator, start), result.losses.perceptual[0]),
        (result.image, result.losses.perceptual.min()),
    ):
        reduced = [jnp.asarray(slow_area_resize(one, 96), jnp.float32) for one in (image, observed)]
        np.testing.assert_allclose(call(lpips, *reduced), loss, rtol=1e-5)
