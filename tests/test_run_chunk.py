"""The compiled loop that users run, Winograd's algorithm included, against the official projector and PyTorch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from parity import REFERENCE, relative_error
from test_inversion import STORED_STEPS, config_of, layers, problem_of, state_before

import jaxgan
from convert import stylegan2
from jaxgan import batch, checkpoints, optimization
from jaxgan.inversion_config import InversionConfig
from jaxgan.latents import Latents


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "ada_tiny"
    checkpoints.save_generator(folder, *stylegan2.read(REFERENCE / "ada_tiny.pkl"), {})
    return checkpoints.load_generator(folder)


@pytest.fixture(scope="module")
def trace(golden):
    """The run without jitter: the loop draws its own, which no key makes equal to PyTorch's."""
    return golden("projector_trace")


@pytest.fixture(scope="module")
def problem(trace, generator, lpips):
    config = dataclasses.replace(InversionConfig.reference(steps=60), w_samples=1000)
    config = config_of(trace, config)
    assert config.jitter == 0
    return problem_of(trace, config, generator, lpips)


def test_every_stored_step_equals_the_official_one(trace, problem, generator, lpips):
    """From each stored state one step; tolerances as in `test_inversion`, where they are explained."""
    for k in STORED_STEPS:
        row, before = k - 1, state_before(trace, k)
        after, losses = optimization.run_chunk(generator, lpips, problem, jax.random.key(0), before, 1)
        assert int(after.step) == k and not np.any(losses.total[1:])
        assert relative_error(losses.perceptual[0], trace["dist"][row]) < 1e-5, k
        assert relative_error(losses.noise_regularizer[0], trace["reg_loss"][row]) < 1e-5, k
        assert relative_error(losses.total[0], trace["loss"][row]) < 1e-5, k
        np.testing.assert_allclose(after.latents.w, trace["w_opt"][row].reshape(-1), atol=1e-3)
        for layer, map_ in zip(layers(trace), after.latents.noise, strict=True):
            np.testing.assert_allclose(map_, trace[f"noise_{layer}_step{k}"], atol=2e-5)
        gradient = (after.optimizer.mu.w - 0.9 * before.optimizer.mu.w) / 0.1
        assert relative_error(gradient, trace["w_grad"][row].reshape(-1)) < 3e-2, k


def test_a_free_run_follows_the_official_losses(trace, problem, generator, lpips):
    """60 steps in three chunks; the official run in float64 differs by 1.1e-3 from that in float32."""
    noise = tuple(jnp.asarray(trace[f"noise_init_{layer}"]) for layer in layers(trace))
    first = Latents(problem.statistics.w_avg, noise)
    zeros = jax.tree.map(jnp.zeros_like, first)
    state = state_before(trace, 2)
    moments = state.optimizer._replace(count=jnp.int32(0), mu=zeros, nu=zeros)
    state = state._replace(step=jnp.int32(0), latents=first, optimizer=moments, best=first)
    perceptual, regularizer = [], []
    for _ in range(3):
        state, losses = optimization.run_chunk(generator, lpips, problem, jax.random.key(0), state, 20)
        perceptual.append(losses.perceptual[:20])
        regularizer.append(losses.noise_regularizer[:20])
    assert int(state.step) == 60
    np.testing.assert_allclose(perceptual[0], trace["dist"][:20], rtol=1e-3)
    np.testing.assert_allclose(np.concatenate(perceptual), trace["dist"], rtol=1e-2)
    np.testing.assert_allclose(regularizer[0], trace["reg_loss"][:20], rtol=1e-3)


@pytest.mark.parametrize("images", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_128_pixels_and_256_channels_equal_pytorch(images, lpips):
    """What the traces do not reach, alone and in a batch: loss and gradient of the first step.

    The gradient is read off Adam's first moment, which is a tenth of it. Of 16 to 64 pixels and 128 or 256 channels,
    both networks take every algorithm that `convolutions.cpu` has.
    """
    pytest.importorskip("torch")
    from experiments.bench import cell

    config = jaxgan.GeneratorConfig(128, z_dim=8, w_dim=8, channel_base=256 * 32, channel_max=256)
    generator = jaxgan.Generator(config, rngs=nnx.Rngs(0))
    settings = dataclasses.replace(InversionConfig.reference(), w_samples=10, jitter=0.0)
    prior = optimization.make_prior(generator, settings)
    problems, states, keys = [], [], jax.random.split(jax.random.key(1), images)
    for key in keys:
        observed = jax.random.uniform(key, config.image_shape, minval=-1, maxval=1)
        problem = optimization.make_problem(generator, lpips, observed, jaxgan.Identity(), settings, prior=prior)
        problems.append(problem)
        states.append(optimization.initial_state(generator, problem.start, settings, key))
    projector = cell.torch_projector(generator, lpips, problems, settings, states, "cpu")
    loss = projector.loss(projector.w)
    loss.sum().backward()

    places = batch.Batch(generator, lpips, images)
    for place, image in enumerate(zip(problems, keys, states, strict=True)):
        places.put(place, *image)
    terms = places.advance(1)
    np.testing.assert_allclose(terms.total[:, 0], loss.detach(), rtol=1e-5)
    for place in range(images):
        gradient = jax.tree.map(lambda moment: moment / 0.1, places.state(place).optimizer.mu)
        pairs = zip((gradient.w, *gradient.noise), (projector.w, *projector.noise), strict=True)
        errors = [relative_error(ours, theirs.grad[place].reshape(ours.shape)) for ours, theirs in pairs]
        assert max(errors) < 3e-2, errors  # activations that change sign within rounding, as in the traces
