"""The loop that fills, advances and empties a batch, and the two ways into it: one image, and several in a call."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import relative_error

from jaxgan import batch, inversion, loop, optimization
from jaxgan.batch import Batch
from jaxgan.degradations import Mask
from jaxgan.inversion_config import InversionConfig
from jaxgan.inversion_image import InversionImage
from jaxgan.methods import Method

CONFIG = InversionConfig(steps=7, w_samples=100, keep="last")


@pytest.fixture(scope="module")
def lpips(narrow):
    return narrow


@pytest.fixture(scope="module")
def prior(tiny):
    return optimization.make_prior(tiny, CONFIG)


@pytest.fixture(scope="module")
def images(prior):
    """Six images with a mask each and keys of their own, called 0 to 5."""
    made = []
    for index, key in enumerate(jax.random.split(jax.random.key(0), 6)):
        observed = jax.random.uniform(key, (16, 16, 3), minval=-1, maxval=1)
        mask = Mask(jnp.ones((16, 16)).at[2 * index : 2 * index + 3].set(0))
        made.append(InversionImage(observed, mask, Method.of(CONFIG), key, prior, name=index))
    return made


def run(tiny, lpips, images, size, *, chunk_steps=3, **options):
    """The chunks, and how far each image had come when it ended."""
    chunks = list(loop.run(tiny, lpips, images, size=size, chunk_steps=lambda _: chunk_steps, **options))
    ended = [progress for chunk in chunks for progress in chunk.progresses if progress.is_done or progress.error]
    assert len({progress.image.name for progress in ended}) == len(ended)  # each of them once
    return chunks, {progress.image.name: progress for progress in ended}


@pytest.fixture(scope="module")
def ended(tiny, lpips, images):
    """Of the six images, two at a time."""
    return run(tiny, lpips, images, 2)[1]


def test_every_image_ends_with_all_its_steps(ended, images):
    assert ended.keys() == set(range(6))
    for progress in ended.values():
        assert progress.image is images[progress.image.name]
        assert int(progress.state.step) == progress.steps == 7
        assert all(term.shape == (7,) for term in progress.losses)


def test_progress_never_changes(tiny, lpips, images):
    """A chunk that was kept while the loop went on, and others took the places, still holds what it held."""
    seen = []
    for chunk in loop.run(tiny, lpips, images[:3], size=2, chunk_steps=lambda _: 3):
        states = [jax.tree.map(np.array, progress.state) for progress in chunk.progresses]
        seen += zip(chunk.progresses, states, strict=True)
    assert len({progress.image.name for progress, _ in seen}) == 3
    for progress, state in seen:
        assert int(progress.state.step) == progress.steps == len(progress.losses.total)
        jax.tree.map(np.testing.assert_array_equal, progress.state, state)


def exhaust(monkeypatch, method: str, *, call: int, size: int) -> None:
    """Lets a call of a method of batches of a size run out of memory."""
    original, calls = getattr(Batch, method), []

    def limited(self, *arguments):
        calls.append(self.size) if self.size == size else None
        if self.size == size and len(calls) == call:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        return original(self, *arguments)

    monkeypatch.setattr(Batch, method, limited)


@pytest.mark.parametrize(
    ("method", "call"),
    [("put", 1), ("put", 3), ("put", 5), ("put", 6), ("advance", 1), ("advance", 2)],
)
def test_running_out_of_memory_loses_no_image_and_mixes_none(tiny, lpips, images, ended, monkeypatch, method, call):
    """Four at a time, one of which was begun before; the last two puts are those that refill places."""
    (first,) = next(loop.run(tiny, lpips, [images[1]], size=2, chunk_steps=lambda _: 4)).progresses
    begun = dataclasses.replace(images[1], reached=(first.state, first.losses))
    exhaust(monkeypatch, method, call=call, size=4)
    told = []
    _, ours = run(
        tiny,
        lpips,
        [images[0], begun, *images[2:]],
        4,
        on_smaller=lambda *sizes: told.append(sizes),
    )
    assert told == [(4, 2)] and ours.keys() == ended.keys()
    for name, progress in ours.items():
        assert int(progress.state.step) == progress.steps == 7
        # Of another image the losses differ by some percent; by rounding, as seen, 2e-6.
        np.testing.assert_allclose(progress.losses.total, ended[name].losses.total, rtol=1e-4)
        assert relative_error(progress.state.latents.w, ended[name].state.latents.w) < 1e-2


def test_memory_that_cannot_be_saved_is_an_error(tiny, lpips, images, monkeypatch):
    exhaust(monkeypatch, "put", call=1, size=2)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        run(tiny, lpips, images, 2)
    exhaust(monkeypatch, "put", call=1, size=1)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        run(tiny, lpips, images, 1, on_smaller=pytest.fail)


def test_a_loss_that_is_not_finite_ends_its_image_only(tiny, lpips, images, ended):
    bad = dataclasses.replace(images[2], observed=images[2].observed.at[0, 0].set(jnp.nan))
    _, ours = run(tiny, lpips, [bad, *images[3:]], 2)
    assert str(ours[2].error).startswith("the loss is nan at step 0;") and ours[2].steps == 3
    for name in (3, 4, 5):
        jax.tree.map(np.testing.assert_array_equal, ours[name].state, ended[name].state)


def test_chunks_are_as_long_as_the_caller_says(tiny, lpips, images):
    asked = []

    def chunk_steps(inside):
        asked.append([image.name for image in inside])
        return 5 if len(inside) == 2 else 1

    chunks = loop.run(tiny, lpips, images[:2], size=2, chunk_steps=chunk_steps)
    assert [chunk.progresses[0].steps for chunk in chunks] == [5, 7] and asked == [[0, 1], [0, 1]]


# One image, and several in a call.


def in_one(images):
    """The arguments of `invert_batch` for some images."""
    return (
        jnp.stack([image.observed for image in images]),
        Mask(jnp.stack([image.degradation.mask for image in images])),
        jnp.stack([image.key for image in images]),
    )


def test_several_images_in_one_call(tiny, lpips, images, prior):
    """Other masks and numbers in a batch; each as `invert` alone, but for rounding."""
    observed, masks, keys = in_one(images[:2])
    config = dataclasses.replace(CONFIG, steps=4)
    other = dataclasses.replace(CONFIG, learning_rate=0.03, latent_dist_reg_weight=50.0, jitter=0.0)
    arguments = (tiny, lpips, observed, masks)
    results = inversion.invert_batch(*arguments, (config, other), keys, chunk_steps=3)
    assert [len(result.losses.total) for result in results] == [4, 7]
    for index, result in enumerate(results):
        alone = inversion.invert(
            tiny,
            lpips,
            observed[index],
            images[index].degradation,
            (config, other)[index],
            keys[index],
            prior=prior,
            chunk_steps=3,
        )
        np.testing.assert_allclose(result.losses.total, alone.losses.total, rtol=1e-4)
        assert relative_error(result.image, alone.image) < 5e-3
    with pytest.raises(ValueError, match=r"observed has shape .* expected \(n, "):
        inversion.invert_batch(tiny, lpips, observed[:, 1:], masks, config, keys)
    for configs in ((config,), (config, dataclasses.replace(config, latent_space="w_plus"))):
        with pytest.raises(ValueError, match="expected 2 configs with equal latent_space, noise, "):
            inversion.invert_batch(*arguments, configs, keys)


def test_what_the_host_alone_reads_needs_no_program_of_its_own(tiny, lpips, images):
    observed, masks, keys = in_one(images[:4])
    changes = ({"keep": "best"}, {"w_samples": 50}, {"start_samples": 4}, {"patience": 1, "learning_rate": 1e-9})
    configs = [dataclasses.replace(CONFIG, **{"jitter": 0.0, **change}) for change in changes]
    batch.PROGRAMS.clear()
    results = inversion.invert_batch(tiny, lpips, observed, masks, configs, keys, size=2, chunk_steps=3)
    assert len(batch.PROGRAMS) == 1
    assert [len(result.losses.total) for result in results] == [7, 7, 7, 3]
    assert results[0].returned_step == int(np.argmin(results[0].losses.total)) and results[1].returned_step == 7
    starts = [result.losses.latent_distance[0] for result in results]  # step 0 renders the first w
    assert starts[0] == pytest.approx(0, abs=1e-9) and starts[1] == pytest.approx(0, abs=1e-9) and starts[2] > 1e-6


def test_a_prior_that_is_given_is_not_made(tiny, lpips, images, prior, monkeypatch):
    image = images[0]
    arguments = (image.degradation, CONFIG, image.key)
    expected = inversion.invert(tiny, lpips, image.observed, *arguments)
    monkeypatch.setattr(optimization, "make_prior", pytest.fail)
    ours = inversion.invert(tiny, lpips, image.observed, *arguments, prior=prior)
    np.testing.assert_array_equal(ours.image, expected.image)
    observed, masks, keys = in_one(images[:1])
    (ours,) = inversion.invert_batch(tiny, lpips, observed, masks, CONFIG, keys, prior=prior)
    np.testing.assert_array_equal(ours.image, expected.image)


def test_a_converged_image_stops_early(tiny, lpips, images):
    """At the end of a chunk, before all steps are done; without patience it does not."""
    config = dataclasses.replace(CONFIG, steps=60, patience=4, learning_rate=1e-6, jitter=0.0)
    arguments = (tiny, lpips, images[0].observed, images[0].degradation)
    result = inversion.invert(*arguments, config, images[0].key, chunk_steps=3)
    assert len(result.losses.total) == 6
    patient = dataclasses.replace(config, patience=None)
    assert len(inversion.invert(*arguments, patient, images[0].key).losses.total) == 60


def test_patience_counts_from_the_lowest_loss(images):
    def is_done(*totals: float, patience: int | None = 3) -> bool:
        terms = optimization.LossTerms(*(np.array(totals, np.float32) for _ in range(4)))
        method = Method.of(InversionConfig(steps=10, patience=patience))
        return dataclasses.replace(images[0], method=method).ends_with(terms)

    assert not is_done(5, 4, 3, 2.9)
    assert is_done(5, 4, 3.999, 3.998, 3.997)
    assert not is_done(5, 4, 3.999, 3.998, 3.9)  # 2.5 % in the last three
    assert not is_done(*[1.0] * 9, patience=None) and is_done(*[1.0] * 10, patience=None)
    with pytest.raises(ValueError, match="patience must be a whole number, at least 1, got 0"):
        InversionConfig(patience=0)
