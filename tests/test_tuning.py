"""Pivotal tuning: its loss against a slow form, what it changes and what not, resuming, and the folder it leaves."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import call, relative_error

from jaxgan import checkpoints, latents, tuning, tuning_files, tuning_steps
from jaxgan.degradations import Mask
from jaxgan.tuning import Pivot, TuningConfig, tune


@pytest.fixture(scope="module")
def lpips(narrow):
    """A narrow random one: these tests ask for what surrounds it."""
    return narrow


CONFIG = TuningConfig(steps=6, learning_rate=3e-3, stop_at=0.0, locality_distance=2.0)
KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def case(tiny):
    """What is observed, what hides a part of it, and a pivot that is far from it."""
    observed = jax.random.uniform(jax.random.key(1), (16, 16, 3), minval=-1, maxval=1)
    ws = jax.random.normal(jax.random.key(2), (6, 8))
    return observed, Mask(jnp.ones((16, 16)).at[3:8, 4:9].set(0)), Pivot(ws, tiny.synthesis.noise_const())


@pytest.fixture(scope="module")
def whole(tiny, lpips, case):
    """A tuning, and what it was told after every second step."""
    states = []
    result = tune(tiny, lpips, *case, CONFIG, KEY, chunk_steps=2, on_chunk=lambda *reached: states.append(reached))
    return result, states


def test_the_paper_s_constants():
    """SPEC 10."""
    config = TuningConfig()
    assert (config.steps, config.learning_rate, config.adam_b1, config.adam_b2) == (350, 3e-4, 0.9, 0.999)
    assert (config.stop_at, config.locality_weight, config.locality_distance) == (0.03, 0.1, 30)
    with pytest.raises(
        ValueError, match="steps must be a whole number of 1 or more, got 0; stop_at must not be negative, got -1"
    ):
        TuningConfig(steps=0, stop_at=-1.0)


def test_the_loss_falls_and_the_network_that_was_given_stays(tiny, lpips, case, whole):
    result, _ = whole
    before = checkpoints.network_arrays(tiny)
    tune(tiny, lpips, *case, dataclasses.replace(CONFIG, steps=2), KEY)
    after = checkpoints.network_arrays(tiny)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert result.losses.total.shape == (6,) and result.losses.total[-1] < 0.9 * result.losses.total[0]
    tuned = checkpoints.network_arrays(result.generator)
    changed = {name for name in before if not np.array_equal(before[name], tuned[name])}
    weights = {f"synthesis/{name}" for name in tuning_steps.weights_of(tiny.synthesis)}
    assert changed == weights and "synthesis/b16/conv1/affine/bias" in weights  # all, and none beside them
    assert not any("noise_const" in name for name in weights)
    ws, noise = case[2]
    assert relative_error(result.image, call(result.generator.synthesis, ws, noise)) < 1e-5


def test_the_first_step_is_adam_s_on_a_slow_loss(tiny, lpips, case, whole):
    """SPEC 10, put together from measured parts; Adam's first moment is a tenth of the gradient."""
    observed, mask, pivot = case
    key = jax.random.fold_in(KEY, 0)
    of_z, _ = jax.random.split(key)
    w_z = tiny.mapping(jax.random.normal(of_z, (8,)))[0]
    beside = np.stack([w + 2 * (w_z - w) / np.linalg.norm(w_z - w) for w in np.asarray(pivot.ws)])

    @jax.jit
    def loss(tuned, tiny, lpips):
        x, y = mask.hide_missing(mask(call(tuned.synthesis, pivot.ws, pivot.noise))), mask.hide_missing(observed)
        near, far = (call(one.synthesis, jnp.asarray(beside), pivot.noise) for one in (tuned, tiny))
        main = lpips(x, y), jnp.mean((x - y) ** 2)
        locality = lpips(near, far) + jnp.mean((near - far) ** 2)
        return main[0] + main[1] + 0.1 * locality, (*main, locality)

    (total, terms), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(tiny, tiny, lpips)
    first = jax.tree.map(lambda term: term[0], whole[0].losses)
    np.testing.assert_allclose((first.total, *first[1:]), (total, *terms), rtol=1e-4, atol=1e-9)
    gradient = tuning_steps.weights_of(gradient.synthesis)
    alone = tune(tiny, lpips, *case, dataclasses.replace(CONFIG, steps=1), KEY).state.optimizer.mu
    for name in ("b4/const", "b8/conv0/kernel", "b16/torgb/affine/kernel"):
        assert relative_error(alone[name] / 0.1, gradient[name]) < 1e-3, name


def test_it_stops_where_it_was_asked_to(tiny, lpips, case, whole):
    result, _ = whole
    reached = dataclasses.replace(CONFIG, stop_at=float(result.losses.perceptual[3]))
    stopped = tune(tiny, lpips, *case, reached, KEY, chunk_steps=5)
    assert len(stopped.losses.total) == 1 + int(np.argmax(result.losses.perceptual <= reached.stop_at)) <= 4
    last = jax.tree.map(np.asarray, stopped.state.weights)
    again = tune(tiny, lpips, *case, reached, KEY, resume_from=(stopped.state, stopped.losses))
    jax.tree.map(np.testing.assert_array_equal, again.state.weights, last)
    nearer = tune(tiny, lpips, *case, CONFIG, KEY, resume_from=(stopped.state, stopped.losses))
    assert len(nearer.losses.total) == 6 and (nearer.losses.total > 0).all()


def test_a_tuning_continued_from_any_chunk_ends_bit_identically(tiny, lpips, case, whole, tmp_path):
    result, states = whole
    assert [int(state.step) for state, _ in states] == [2, 4, 6]
    for state, losses in states[:2]:
        folder = tmp_path / str(int(state.step))
        tuning_files.save_tuning(folder, state, losses)
        reached = tuning_files.load_tuning(folder, tiny, CONFIG)
        again = tune(tiny, lpips, *case, CONFIG, KEY, chunk_steps=2, resume_from=reached)
        jax.tree.map(np.testing.assert_array_equal, again, result)
    assert tuning_files.load_tuning(tmp_path / "none", tiny, CONFIG) is None


@pytest.mark.slow
@pytest.mark.parametrize("size", [None, 2])
def test_a_batch_tunes_a_network_for_each_image(tiny, lpips, case, whole, size):
    """Each stops by itself: the second observation is what the untuned network makes of its pivot."""
    observed, mask, pivot = case
    other = call(tiny.synthesis, pivot.ws, pivot.noise)
    masks = Mask(jnp.stack([mask.mask] * 2))
    config = dataclasses.replace(CONFIG, stop_at=1e-4)
    arguments = (jnp.stack([observed, other]), masks, [pivot, pivot], config, jnp.stack([KEY, KEY]))
    first, second = tuning.tune_batch(tiny, lpips, *arguments, size=size, chunk_steps=4)
    np.testing.assert_allclose(first.losses.total, whole[0].losses.total, rtol=1e-3)
    assert relative_error(first.image, whole[0].image) < 1e-2
    assert len(second.losses.total) == 1
    before, after = (checkpoints.network_arrays(one) for one in (tiny, second.generator))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_what_does_not_belong_together_is_told(tiny, lpips, case, unchecked_shapes):
    observed, mask, pivot = case
    masks, keys = Mask(jnp.stack([mask.mask] * 2)), jnp.stack([KEY, KEY])
    several = jnp.stack([observed, observed])
    assert tuning.tune_batch(tiny, lpips, several[:0], Mask(masks.mask[:0]), [], CONFIG, keys[:0]) == []
    for faces, of_faces, pivots, of_keys in (
        (several, masks, [pivot] * 3, keys),
        (several[:1], masks, [pivot] * 2, keys),
        (several, Mask(masks.mask[:1]), [pivot] * 2, keys),
        (several, masks, [pivot] * 2, keys[:1]),
    ):
        with pytest.raises(ValueError, match=r"as many images, degradations, pivots and keys, got \[[123], [123]\]"):
            tuning.tune_batch(tiny, lpips, faces, of_faces, pivots, CONFIG, of_keys)
    larger = Pivot(latents.extend(pivot.ws, (6, 16, 8)), pivot.noise)
    with pytest.raises(ValueError, match=r"pivots of one latent space, got \[\(6, 8\), \(6, 16, 8\)\]"):
        tuning.tune_batch(tiny, lpips, several, masks, [pivot, larger], CONFIG, keys)
    with pytest.raises(ValueError, match="steps must be a whole .* got 30.0; adam_b1 must be .* below 1, got 1.0"):
        TuningConfig(steps=30.0, adam_b1=1.0)


def test_the_tuned_folder_loads_and_names_its_pivot(tiny, whole, tmp_path):
    result, _ = whole
    tuning_files.save_tuned(tmp_path / "tuned", result.generator, {"latents": "latents.npz"})
    facts = json.loads((tmp_path / "tuned" / "config.json").read_text())
    assert facts["conversion"]["pivot"] == {"latents": "latents.npz"}
    loaded = checkpoints.network_arrays(checkpoints.load_generator(tmp_path / "tuned"))
    for name, array in checkpoints.network_arrays(result.generator).items():
        np.testing.assert_array_equal(loaded[name], array)


def test_latents_beside_the_pivot_are_as_far_as_asked(tiny):
    ws = jax.random.normal(jax.random.key(0), (6, 16, 8))
    for of in (ws, ws[:, 0]):
        moved = np.asarray(tuning_steps.beside_pivot(tiny, of, 30.0, KEY) - of)
        np.testing.assert_allclose(np.linalg.norm(moved, axis=-1), 30, rtol=1e-5)


def test_between_two_tuned_networks(tiny, lpips, whole, case):
    """W+ and W++ meet in W++; weights, latents and noise maps move together."""
    result, _ = whole
    pivot = case[2]
    larger = Pivot(latents.extend(pivot.ws, (6, 16, 8)) + 1, tuple(map_ + 2 for map_ in pivot.noise))
    generator, between = tuning.interpolate((tiny, result.generator), (pivot, larger), 0.25)
    np.testing.assert_allclose(between.ws[2, 5], pivot.ws[2] + 0.25, atol=1e-6)
    np.testing.assert_allclose(between.noise[3], pivot.noise[3] + 0.5, atol=1e-6)
    first, second, ours = (tuning_steps.weights_of(one.synthesis) for one in (tiny, result.generator, generator))
    for name in ("b4/const", "b16/conv0/kernel"):
        np.testing.assert_allclose(ours[name], 0.75 * first[name] + 0.25 * second[name], rtol=1e-5, atol=1e-7)
    with pytest.raises(ValueError, match="this generator makes"):
        tune(tiny, lpips, jnp.zeros((8, 8, 3)), case[1], pivot, CONFIG, KEY)
