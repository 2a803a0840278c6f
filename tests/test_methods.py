"""Methods of several phases: the robust one, what a phase hands to the next, and resuming inside of each."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import batch, inversion, inversion_files, latents, optimization
from jaxgan.degradations import Mask
from jaxgan.inversion_config import InversionConfig
from jaxgan.latents import Latents
from jaxgan.methods import Method
from jaxgan.truths import Reduction, side_after


@pytest.fixture(scope="module")
def lpips(narrow):
    """A narrow random one: these tests ask for what surrounds it."""
    return narrow


ROBUST = Method(tuple(dataclasses.replace(one, w_samples=50) for one in Method.robust(9).phases))
"""Three steps in each of the three spaces."""


@pytest.fixture(scope="module")
def case(tiny):
    """What is observed of two pictures, with a hole each."""
    observed = jax.random.uniform(jax.random.key(1), (2, 16, 16, 3), minval=-1, maxval=1)
    masks = Mask(jnp.ones((2, 16, 16)).at[0, 3:8, 4:9].set(0).at[1, :5].set(0))
    return observed, masks


@pytest.fixture(scope="module")
def seen(tiny, lpips, case):
    """A run of robust on one picture, and what it was told after every second step of a phase."""
    states = []
    mask = Mask(case[1].mask[0])
    arguments = (tiny, lpips, case[0][0], mask, ROBUST, jax.random.key(5))
    result = inversion.invert(*arguments, chunk_steps=2, on_chunk=lambda *reached: states.append(reached))
    return arguments, result, states


def test_the_published_method():
    """SPEC 7, which restates the paper."""
    phases = Method.robust().phases
    assert [(one.steps, one.latent_space, one.learning_rate) for one in phases] == [
        (150, "w", 0.08),
        (150, "w_plus", 0.02),
        (150, "w_plus_plus", 0.005),
    ]
    for one in phases:
        assert (one.optimizer, one.objective, one.noise, one.keep) == ("normalized", "pyramid", "stored", "last")
        assert (one.jitter, one.noise_reg_weight, one.latent_dist_reg_weight, one.start_samples) == (0, 0, 0, 0)
        rates = jax.vmap(one.numbers().learning_rate_at)(jnp.arange(150))
        np.testing.assert_array_equal(rates, np.full(150, one.learning_rate, np.float32))
    assert [one.steps for one in Method.robust(8).phases] == [3, 3, 2]


@pytest.mark.parametrize("chain, size", [([Reduction(8)], 128), ([Reduction(8), Reduction(4)], 64), ([], 1024)])
def test_the_pyramid_begins_at_the_size_of_a_small_picture(chain, size):
    """SPEC 8: at the observation's own size, which is at least 64."""
    side = side_after(chain, 1024)
    assert {one.feature_size for one in Method.robust().compared_at(side).phases} == {size}
    default = Method.of(InversionConfig())
    assert default.compared_at(side) == default


def test_the_steps_of_a_method_belong_to_its_phases():
    method = Method.robust(7)  # 3, 2 and 2 steps
    assert [method.first_step(phase) for phase in range(3)] == [0, 3, 5]
    assert [method.phase_after(steps) for steps in range(9)] == [0, 0, 0, 0, 1, 1, 2, 2, 2]
    np.testing.assert_array_equal(method.per_step("learning_rate"), [0.08] * 3 + [0.02] * 2 + [0.005] * 2)


def test_every_phase_goes_on_where_the_one_before_ended(tiny, seen):
    _, result, states = seen
    assert [int(state.step) for state, _ in states] == [2, 3, 5, 6, 8, 9]
    ends = {int(state.step): state for state, _ in states}
    assert [end.latents.w.shape for end in ends.values()] == [(8,)] * 2 + [(6, 8)] * 2 + [(6, 16, 8)] * 2
    w, w_plus = ends[3].latents.w, ends[6].latents.w
    np.testing.assert_array_equal(result.earlier[0].w, w)
    np.testing.assert_array_equal(result.earlier[1].w, w_plus)
    assert result.ws.shape == (6, 16, 8) and result.returned_step == 9 and result.losses.total.shape == (9,)
    # Steps have a constant length, so after n of them no latent is farther away than n lengths, and is away at all.
    for before, after, far in ((w, w_plus, 3 * 0.02), (w_plus, result.ws, 3 * 0.005)):
        moved = np.linalg.norm(after - latents.extend(jnp.asarray(before), after.shape), axis=-1)
        assert 0 < moved.max() <= far * 1.0001
    # The first loss of a phase is that of the image that the phase before ended with, but for the noise in the hole.
    assert np.isfinite(result.losses.total).all()


def test_the_noise_maps_of_the_network_stay(tiny, seen):
    _, result, states = seen
    assert all(state.latents.noise == () for state, _ in states)
    for ours, stored in zip(result.noise, tiny.synthesis.noise_const(), strict=True):
        np.testing.assert_array_equal(ours, stored)
    np.testing.assert_array_equal(result.image, optimization.render(tiny, Latents(result.ws, ())))


def test_a_run_continued_in_any_phase_ends_bit_identically(tiny, seen, tmp_path):
    """From the middle of each phase, and from the end of the first, by way of the disk."""
    arguments, whole, states = seen
    for state, losses in states[:3] + states[4:5]:
        folder = tmp_path / str(int(state.step))
        inversion_files.save_inversion(folder, state, losses)
        reached = inversion_files.load_inversion(folder, tiny, ROBUST)
        again = inversion.invert(*arguments, chunk_steps=2, resume_from=reached)
        jax.tree.map(np.testing.assert_array_equal, again, whole)


def test_a_batch_ends_as_its_images_alone(tiny, lpips, case, seen):
    """More images than places, so that one begins after others have ended; each phase has one program.

    Two phases, which must be as the first two of three.
    """
    alone = jax.tree.map(lambda term: term[:6], seen[1].losses)
    method = Method(ROBUST.phases[:2])
    batch.PROGRAMS.clear()
    observed, masks = case
    observed = jnp.concatenate([observed, observed[:1]])
    masks = Mask(jnp.concatenate([masks.mask, masks.mask[:1]]))
    keys = jnp.stack([jax.random.key(k) for k in (5, 6, 5)])
    results = jaxgan.invert_batch(tiny, lpips, observed, masks, method, keys, size=2, chunk_steps=2)
    assert len(batch.PROGRAMS) == 2
    for one in (results[0], results[2]):
        np.testing.assert_allclose(one.losses.total, alone.total, rtol=1e-4)
    assert abs(results[1].losses.total - alone.total).max() > 1e-2
    with pytest.raises(ValueError, match="expected 3 configs with equal latent_space"):
        jaxgan.invert_batch(tiny, lpips, observed, masks, [method, method, method.first], keys)


def test_a_step_is_that_of_a_slow_loop(tiny, lpips, case):
    """One step in W: w moves by .08 against the gradient of the loss, which finite differences confirm along it."""
    config = dataclasses.replace(ROBUST.first, steps=1)
    observed, mask = case[0][0], Mask(jnp.ones((16, 16)))
    result = inversion.invert(tiny, lpips, observed, mask, config, jax.random.key(0))
    problem = optimization.make_problem(tiny, lpips, observed, mask, config)
    start = np.asarray(problem.statistics.w_avg, np.float64)
    direction = (np.asarray(result.ws[0], np.float64) - start) / 0.08
    assert np.linalg.norm(direction) == pytest.approx(1, rel=1e-5)
    loss = jax.jit(lambda w: optimization.loss_terms(tiny, lpips, problem, Latents(w, ()), jax.random.key(0)).total)
    slopes = []
    for axis in np.eye(8):
        ends = [loss(jnp.asarray(start + sign * 1e-2 * axis, jnp.float32)) for sign in (1, -1)]
        slopes.append((float(ends[0]) - float(ends[1])) / 2e-2)
    slopes = np.array(slopes) / np.linalg.norm(slopes)
    assert slopes @ direction < -0.99  # seen: -0.9999


def test_what_makes_no_method():
    first, last = ROBUST.first, ROBUST.last
    with pytest.raises(ValueError, match="smaller latent_space than the one before"):
        Method((last, first))
    with pytest.raises(ValueError, match="the same w_samples.*start_samples belongs to the first"):
        Method((first, dataclasses.replace(last, w_samples=7, start_samples=3)))
    with pytest.raises(ValueError, match="patience belongs to methods of one phase"):
        Method((dataclasses.replace(first, patience=2), last))
    with pytest.raises(ValueError, match="there must be a phase"):
        Method(())
    with pytest.raises(ValueError, match="steps must be a whole number, at least 1, got 0"):
        Method.robust(2)
    with pytest.raises(ValueError, match="needs noise 'stored'"):
        InversionConfig(optimizer="normalized")
    with pytest.raises(ValueError, match="noise_reg_weight must be 0 with noise 'stored'"):
        InversionConfig(noise="stored")


@pytest.mark.usefixtures("unchecked_shapes")
def test_steps_are_counted():
    with pytest.raises(ValueError, match="steps must be a whole number, at least 1, got 2.5"):
        InversionConfig(steps=2.5)
