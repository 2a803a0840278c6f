"""A step against a stored run of the official projector, and properties of the loop.

The run is that with jitter. The one without is followed by the compiled loop, in `test_run_chunk`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from parity import REFERENCE, call, nhwc, relative_error

from convert import stylegan2
from jaxgan import checkpoints, inversion, latents, optimization
from jaxgan.degradations import Identity, Mask
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig
from jaxgan.inversion_config import InversionConfig, Numbers
from jaxgan.latents import Latents
from jaxgan.optimization import InversionState

STORED_STEPS = [2, 5, 10, 20, 40, 60]  # counted from 1, as in the files


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "ada_tiny"
    config, weights = stylegan2.read(REFERENCE / "ada_tiny.pkl")
    checkpoints.save_generator(folder, config, weights, {})
    return checkpoints.load_generator(folder)


@pytest.fixture(scope="module")
def trace(golden):
    return golden("projector_trace_wnoise")


@pytest.fixture(scope="module")
def reference_config():
    return dataclasses.replace(InversionConfig.reference(steps=60), w_samples=1000)


def config_of(trace, reference_config) -> InversionConfig:
    return dataclasses.replace(reference_config, jitter=trace["config"]["initial_noise_factor"])


def problem_of(trace, config, generator, lpips) -> optimization.Problem:
    target = jnp.asarray(nhwc(trace["target"]), jnp.float32) / 127.5 - 1
    return optimization.make_problem(generator, lpips, target, Identity(), config)


def layers(trace) -> list[str]:
    return [k.removeprefix("noise_init_") for k in trace if k.startswith("noise_init_")]


def latents_of(trace, prefix: str, noise_infix: str) -> Latents:
    noise = tuple(jnp.asarray(trace[f"{prefix}_{noise_infix}{layer}"]) for layer in layers(trace))
    return Latents(jnp.asarray(trace[f"{prefix}_w"].reshape(-1)), noise)


def state_before(trace, k: int) -> InversionState:
    start = latents_of(trace, f"before{k}", "noise_")
    moments = optax.ScaleByAdamState(
        jnp.int32(k - 1), latents_of(trace, f"before{k}_m", "noise_"), latents_of(trace, f"before{k}_v", "noise_")
    )
    return InversionState(jnp.int32(k - 1), start, moments, start, jnp.float32(jnp.inf), jnp.int32(0))


def draw_of(trace, k: int) -> jax.Array:
    return jnp.asarray(trace["w_draws"][k - 1].reshape(-1))


def test_statistics_of_w_equal_the_reference(trace, generator):
    statistics = latents.w_statistics(generator, samples=1000, seed=123)
    assert relative_error(statistics.w_avg, trace["w_avg"].reshape(-1)) < 1e-5  # seen: 5e-7
    assert relative_error(statistics.w_std, trace["w_std"]) < 1e-5  # seen: 1e-7


step = jax.jit(optimization.step)
KEY = jax.random.key(0)
"""Nothing is drawn from it: LPIPS needs no chance, and the jitter is given."""


def test_every_stored_step_equals_the_reference(trace, reference_config, generator, lpips):
    config = config_of(trace, reference_config)
    problem = problem_of(trace, config, generator, lpips)
    for k in STORED_STEPS:
        after, terms = step(generator, lpips, problem, state_before(trace, k), draw_of(trace, k), KEY)
        row = k - 1
        assert relative_error(terms.perceptual, trace["dist"][row]) < 1e-5, k
        assert relative_error(terms.noise_regularizer, trace["reg_loss"][row]) < 1e-5, k
        assert relative_error(terms.total, trace["loss"][row]) < 1e-5, k
        assert relative_error(config.numbers().learning_rate_at(jnp.int32(row)), trace["lr"][row]) < 1e-5, (
            k
        )  # a difference of cosines; seen: 1.2e-6
        scale = config.numbers().jitter_at(jnp.int32(row), problem.statistics.w_std)
        np.testing.assert_allclose(scale, trace["w_noise_scale"][row], rtol=1e-5, atol=1e-9)
        # A unit that changes sign within rounding moves w by up to 3e-4 (tests/reference/README.md).
        np.testing.assert_allclose(after.latents.w, trace["w_opt"][row].reshape(-1), atol=1e-3)
        for layer, map_ in zip(layers(trace), after.latents.noise, strict=True):
            np.testing.assert_allclose(map_, trace[f"noise_{layer}_step{k}"], atol=2e-5)
        # The moments after this step follow from the gradient: compare through the stored gradient of w.
        gradient = (after.optimizer.mu.w - 0.9 * state_before(trace, k).optimizer.mu.w) / 0.1
        assert relative_error(gradient, trace["w_grad"][row].reshape(-1)) < 3e-2, k


def test_a_free_run_follows_the_losses_of_the_reference(trace, reference_config, generator, lpips):
    config = config_of(trace, reference_config)
    problem = problem_of(trace, config, generator, lpips)
    noise = tuple(jnp.asarray(trace[f"noise_init_{layer}"]) for layer in layers(trace))
    start = Latents(problem.statistics.w_avg, noise)
    state = optimization.initial_state(generator, problem.start, config, jax.random.key(0))
    state = state._replace(latents=start, best=start)
    for row in range(20):
        state, terms = step(generator, lpips, problem, state, draw_of(trace, row + 1), KEY)
        # float32 and float64 runs of the reference itself differ by 1.1e-3; seen here: 2.0e-4.
        np.testing.assert_allclose(terms.perceptual, trace["dist"][row], rtol=1e-3)
        np.testing.assert_allclose(terms.noise_regularizer, trace["reg_loss"][row], rtol=1e-3)


@pytest.fixture(scope="module")
def target(tiny):
    ws = tiny.mapping(jax.random.normal(jax.random.key(5), (8,)))
    return call(tiny.synthesis, ws) / 10


QUICK = InversionConfig(steps=7, w_samples=100)


@pytest.mark.parametrize("latent_space", ["w", "w_plus"])
def test_the_result_is_the_image_of_its_latents(tiny, narrow, target, latent_space):
    config = dataclasses.replace(QUICK, latent_space=latent_space)
    result = inversion.invert(tiny, narrow, target, Identity(), config, jax.random.key(0))
    assert result.ws.shape == (6, 8)
    assert [len(term) for term in result.losses] == [7] * 4
    np.testing.assert_array_equal(result.image, optimization.render(tiny, Latents(result.ws, result.noise)))
    # The best iterate's loss, computed again from what is returned.
    problem = optimization.make_problem(tiny, narrow, target, Identity(), config)
    terms = jax.jit(optimization.loss_terms)(tiny, narrow, problem, Latents(result.ws, result.noise), KEY)
    assert result.returned_step == int(np.argmin(result.losses.total))
    np.testing.assert_allclose(terms.total, result.losses.total.min(), rtol=1e-4)


def test_rows_of_w_plus_differ_and_those_of_w_do_not(tiny, narrow, target):
    for space, differs in (("w", False), ("w_plus", True)):
        config = dataclasses.replace(QUICK, latent_space=space, jitter=0.0, keep="last")
        ws = inversion.invert(tiny, narrow, target, Identity(), config, jax.random.key(0)).ws
        assert bool(jnp.any(ws[0] != ws[5])) == differs


def test_the_same_key_gives_the_same_result_and_another_key_another(tiny, narrow, target):
    results = [inversion.invert(tiny, narrow, target, Identity(), QUICK, jax.random.key(k)) for k in (0, 0, 1)]
    np.testing.assert_array_equal(results[0].image, results[1].image)
    assert not np.array_equal(results[0].image, results[2].image)


def test_a_run_continued_from_any_chunk_ends_bit_identically(tiny, narrow, target):
    seen = []
    arguments = (tiny, narrow, target, Identity(), QUICK, jax.random.key(3))
    whole = inversion.invert(*arguments, chunk_steps=2, on_chunk=lambda *state: seen.append(state))
    assert [int(state.step) for state, _ in seen] == [2, 4, 6, 7]
    for state, losses in seen[:-1]:
        host_copy = jax.tree.map(np.array, (state, losses))
        again = inversion.invert(*arguments, chunk_steps=2, resume_from=host_copy)
        jax.tree.map(np.testing.assert_array_equal, again, whole)


def test_masked_pixels_of_the_photograph_change_nothing(tiny, narrow, target):
    """Whatever stands in the hole (black, white, a scratch) reaches neither the loss nor the result."""
    mask = jnp.ones((16, 16)).at[4:10, 5:15].set(0)
    results = [
        inversion.invert(
            tiny,
            narrow,
            jnp.where(mask[:, :, None] > 0, target, filling),
            Mask(mask),
            QUICK,
            jax.random.key(0),
        )
        for filling in (-1.0, 1.0)
    ]
    jax.tree.map(np.testing.assert_array_equal, results[0], results[1])


def test_a_strong_prior_keeps_w_at_the_mean(tiny, narrow, target):
    statistics = latents.w_statistics(tiny, samples=100)
    config = dataclasses.replace(QUICK, steps=30, jitter=0.0, keep="last")
    distances = []
    for weight in (0.0, 1e3):
        config = dataclasses.replace(config, latent_dist_reg_weight=weight)
        ws = inversion.invert(tiny, narrow, target, Identity(), config, jax.random.key(0)).ws
        distances.append(float(jnp.mean((ws - statistics.w_avg[None, :]) ** 2)))
    assert distances[1] < 0.1 * distances[0]


def test_wrong_observations_are_told(tiny, lpips):
    with pytest.raises(ValueError, match=r"observed has shape \(32, 32, 3\); this generator makes \(16, 16, 3\)"):
        inversion.invert(tiny, lpips, jnp.zeros((32, 32, 3)), Identity(), QUICK, jax.random.key(0))
    for chunk_steps in (0, 1001):
        with pytest.raises(ValueError, match=f"chunk_steps is {chunk_steps}; expected 1 to 1000"):
            arguments = (tiny, lpips, jnp.zeros((16, 16, 3)), Identity(), QUICK, jax.random.key(0))
            inversion.invert(*arguments, chunk_steps=chunk_steps)


def test_a_loss_that_is_not_finite_stops_the_run(tiny, narrow, target):
    broken = jax.tree.map(lambda leaf: leaf, tiny)
    broken.synthesis.b4.const[...] = jnp.nan * broken.synthesis.b4.const[...]
    with pytest.raises(FloatingPointError, match="the loss is nan at step 0; lower the learning rate"):
        inversion.invert(broken, narrow, target, Identity(), QUICK, jax.random.key(0))


def test_a_compiled_program_takes_all_numbers_of_a_config():
    traced = []

    @jax.jit
    def rate(numbers, program, step):
        traced.append(program.latent_space)
        return numbers.learning_rate_at(step)

    def ask(**changes):
        config = InversionConfig(**changes)
        return rate(config.numbers(), config.program(), 7), config

    for changes in ({"steps": 20, "learning_rate": 1.0}, {"steps": 50, "rampup": 0.5}):
        ours, config = ask(**changes)
        assert len(jax.tree.leaves(config.numbers())) == len(Numbers._fields) == 8
        t = 7 / config.steps  # falling from 0.75 on, so that this is the ramp alone
        assert float(ours) == pytest.approx(config.learning_rate * min(1, t / config.rampup), rel=1e-6)
    ask(patience=3, keep="last", w_samples=7, start_samples=9)  # the host's own affair
    assert traced == ["w"]
    ask(latent_space="w_plus")
    assert traced == ["w", "w_plus"]


@pytest.mark.usefixtures("unchecked_shapes")
def test_a_config_lists_all_its_problems():
    with pytest.raises(ValueError, match="latent_space.*steps.*learning_rate.*jitter"):
        InversionConfig(steps=0, learning_rate=-1, latent_space="z", jitter=-1)  # type: ignore[arg-type]


def test_a_network_too_small_for_lpips_is_told(lpips):
    small = Generator(GeneratorConfig(8, 4, 0, 4, 1, channel_base=32, channel_max=4), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="makes 8x8 images, which are too small for LPIPS"):
        inversion.invert(small, lpips, jnp.zeros((8, 8, 3)), Identity(), InversionConfig(), jax.random.key(0))
