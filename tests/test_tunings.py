"""Faces that are tuned together, as on a GPU; a CPU would take one."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.restore.face_run import Work
from experiments.restore.tunings import Tunings
from experiments.runs.folder import RunFolder
from jaxgan import optimization, tuning, tuning_files
from jaxgan.batch import Batch
from jaxgan.degradations import Mask
from jaxgan.inversion_config import InversionConfig
from jaxgan.methods import Method
from jaxgan.optimization import LossTerms
from jaxgan.tuning_image import TuningImage
from jaxgan.tuning_steps import TuningConfig

METHOD = Method.of(InversionConfig(steps=1, w_samples=100))
TUNING = TuningConfig(steps=30, stop_at=0.0)
MASK = Mask(jnp.ones((16, 16)).at[3:8, 4:9].set(0))


class Case:
    """Three faces whose inversion is done, and all that is told of their tuning."""

    def __init__(self, tiny, lpips, folder, *, stop_after: int | None = None):
        self.networks, self.folder, self.stop_after = (tiny, lpips), folder, stop_after
        self.results, self.failed_faces, self.lines, self.groups = {}, {}, [], []

    def works(self, *, resume: bool = False) -> list[Work]:
        generator, works = self.networks[0], []
        folders = {self.folder / f"face{index}": {} for index in range(3)}
        for index, run in enumerate(RunFolder.claim(folders, resume=resume, overwrite=False)):
            key = jax.random.key(index)
            face = jax.random.uniform(key, (16, 16, 3), minval=-1, maxval=1)
            reached = run.restore_tuning(generator, TUNING) if resume else None
            works.append(Work(run, METHOD, face, MASK(face), MASK, key, 1, 1e9, tuning=TUNING, tuning_reached=reached))
        return works

    def tune(self, works: list[Work]) -> None:
        try:
            tunings = Tunings(self.networks, tuple(jax.devices()[:1]), 2, self, self.report, self.requested)
            losses = LossTerms(*(jnp.zeros(1) for _ in LossTerms._fields))
            for work in works:
                state = optimization.initial_state(self.networks[0], jnp.zeros(8), METHOD.first, work.key)
                work.reached = state._replace(step=jnp.int32(1)), losses
                tunings.add(work, *work.reached)
                tunings.run_full()
            tunings.finish()
        finally:
            for work in works:
                work.run.release()

    def advanced(self, works):
        self.groups.append([work.run.path.name for work in works])

    def failed(self, work, error):
        self.failed_faces[work.run.path.name] = str(error)

    def say(self, line):
        self.lines.append(line)

    def report(self, work, image):
        self.results[work.run.path.name] = tuning.result_of(self.networks[0], image)

    def requested(self):
        return len(self.groups) == self.stop_after


@pytest.fixture(scope="module", autouse=True)
def at_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "at_once", lambda devices, count: count)
        yield


@pytest.fixture(scope="module")
def lpips(narrow):
    return narrow


@pytest.fixture(scope="module")
def whole(tiny, lpips, tmp_path_factory):
    case = Case(tiny, lpips, tmp_path_factory.mktemp("whole"))
    case.tune(case.works())
    return case


def assert_same(ours, expected):
    for name in ("image", "losses"):
        jax.tree.map(np.testing.assert_array_equal, getattr(ours, name), getattr(expected, name))


def test_two_faces_fill_the_batch_and_the_third_is_tuned_at_the_end(whole, tiny):
    assert whole.groups == [["face0", "face1"]] * 2 + [["face2"]] * 2
    assert whole.failed_faces == {} and whole.lines == []
    assert len({float(result.losses.total[0]) for result in whole.results.values()}) == 3
    for name, result in whole.results.items():
        assert len(result.losses.total) == 30 and result.losses.perceptual[-1] < result.losses.perceptual[0]
        state, _ = tuning_files.load_tuning(whole.folder / name / "tuning", tiny, TUNING)  # until the report is written
        assert int(state.step) == 30


def test_a_stopped_tuning_goes_on_to_the_same_bits(tiny, lpips, whole, tmp_path):
    """After a chunk of the first two; the second then goes on beside the third, which was never begun."""
    stopped = Case(tiny, lpips, tmp_path, stop_after=1)
    with pytest.raises(KeyboardInterrupt):
        stopped.tune(stopped.works())
    assert stopped.results == {}
    again = Case(tiny, lpips, tmp_path)
    first, second, third = again.works(resume=True)
    assert [work.total_steps for work in (first, second, third)] == [25, 25, 0]
    again.tune([third, second, first])
    assert again.groups == [["face2", "face1"], ["face2"], ["face0"]]
    for name, result in whole.results.items():
        assert_same(again.results[name], result)
    # Killed in its report, it has nothing left to do.
    once_more = Case(tiny, lpips, tmp_path)
    once_more.tune(once_more.works(resume=True)[:1])
    assert once_more.groups == []
    assert_same(once_more.results["face0"], whole.results["face0"])


@pytest.mark.slow
def test_networks_without_memory_are_tuned_one_by_one(tiny, lpips, whole, tmp_path, monkeypatch):
    advance = Batch.advance

    def run_out_of_memory(self, chunk_steps):
        if self.size == 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        return advance(self, chunk_steps)

    monkeypatch.setattr(Batch, "advance", run_out_of_memory)
    case = Case(tiny, lpips, tmp_path)
    case.tune(case.works())
    assert case.lines == ["2 networks do not fit into memory; going on with 1 at a time."]
    for name, result in whole.results.items():
        np.testing.assert_allclose(case.results[name].losses.total, result.losses.total, rtol=1e-2)


def test_a_loss_that_is_not_finite_ends_its_face_only(tiny, lpips, whole, tmp_path, monkeypatch):
    problem = TuningImage.problem

    def broken(self, *networks):
        parts, key, state = problem(self, *networks)
        if self.name.run.path.name == "face0":
            parts = parts._replace(config=dataclasses.replace(TUNING, learning_rate=1e30))
        return parts, key, state

    monkeypatch.setattr(TuningImage, "problem", broken)
    case = Case(tiny, lpips, tmp_path)
    case.tune(case.works())
    assert case.failed_faces["face0"].startswith("tuning: the loss is nan at step ") and len(case.failed_faces) == 1
    for name in ("face1", "face2"):
        assert_same(case.results[name], whole.results[name])
