"""The command's loop: chunks that end at snapshots, and interrupts at the worst moments."""

import dataclasses
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.restore import batch_loop
from experiments.restore.batch_loop import Engine
from experiments.restore.face_run import CannotGoOn, Work
from experiments.restore.tunings import Tunings
from experiments.runs.folder import RunFolder
from jaxgan import images, optimization
from jaxgan.batch import Batch
from jaxgan.degradations import Mask
from jaxgan.inversion_config import InversionConfig
from jaxgan.methods import Method
from jaxgan.photos import photo_files
from jaxgan.tuning_steps import TuningConfig

CONFIG = InversionConfig(steps=11, w_samples=100)
METHOD = Method.of(CONFIG)
EVERY = 4
HELD: dict[Path, list[RunFolder]] = {}


def face(steps: int, every: int):
    return SimpleNamespace(steps=steps, snapshot_every=every)


@pytest.mark.parametrize(
    ("every", "lengths"),
    [(25, [25, 25]), (50, [25, 25]), (7, [7, 7]), (29, [15, 14, 15]), (97, [25, 24, 24, 24, 25]), (1, [1, 1])],
)
def test_chunks_end_at_snapshots_whatever_their_number(every, lengths):
    steps = 0
    for length in lengths:
        assert batch_loop.chunk_steps([face(steps, every)]) == length
        steps += length


def test_a_chunk_ends_where_the_first_of_its_faces_has_a_snapshot():
    assert batch_loop.chunk_steps([face(3, 29), face(10, 29), face(20, 29)]) == 9


class Listener:
    """Takes note of everything."""

    def __init__(self, last_chunk: int | None = None):
        self.lines, self.finished_runs, self.pictures = [], [], []
        self.chunks, self.last_chunk = 0, last_chunk

    def advanced(self, works):
        pass

    def finished(self, work, metrics):
        self.finished_runs.append(work.run.path.name)

    def failed(self, work, error):
        raise error

    def pictured(self, work, picture):
        self.pictures.append((work.run.path.name, work.steps, picture))

    def wants_end(self):
        self.chunks += 1
        return self.chunks == self.last_chunk

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def lpips(narrow):
    return narrow


@pytest.fixture(scope="module")
def engine(tiny, lpips):
    prior = optimization.make_prior(tiny, METHOD.first)
    return Engine(tiny, lpips, lambda config: prior, tuple(jax.devices()[:1]))


def works(engine, folder, *, resume: bool = False, method: Method = METHOD):
    """Three faces with a folder each, which the process before this one has released."""
    for run in HELD.pop(folder, ()):
        run.release()
    made = []
    runs = RunFolder.claim({folder / f"face{i}": {} for i in range(3)}, resume=resume, overwrite=False)
    HELD[folder] = runs
    for index, run in enumerate(runs):
        key = jax.random.key(index)
        truth = jax.random.uniform(key, (16, 16, 3), minval=-1, maxval=1)
        mask = Mask(jnp.ones((16, 16)).at[2 * index : 2 * index + 3].set(0))
        reached = run.restore(engine.generator, method) if resume else None
        if not run.is_finished:
            made.append(Work(run, method, truth, mask(truth), mask, key, EVERY, 1e9, reached))
    return made


@pytest.fixture(scope="module")
def whole(engine, tmp_path_factory):
    folder, listener = tmp_path_factory.mktemp("whole"), Listener()
    batch_loop.invert(engine, iter(works(engine, folder)), 2, listener)
    assert sorted(listener.finished_runs) == ["face0", "face1", "face2"] and listener.lines == []
    return folder


def test_every_frame_is_there(whole):
    for index in range(3):
        names = sorted(path.name for path in (whole / f"face{index}" / "snapshots").iterdir())
        assert names == [f"step_{step:06d}.png" for step in (4, 8, 11)]


def test_a_listener_sees_every_frame(engine, whole, tmp_path):
    listener = Listener()
    batch_loop.invert(engine, iter(works(engine, tmp_path)), 2, listener)
    assert [(name, steps) for name, steps, _ in listener.pictures if name == "face1"] == [
        ("face1", 4),
        ("face1", 8),
        ("face1", 11),
    ]
    frame = images.to_uint8(listener.pictures[0][2])
    np.testing.assert_array_equal(frame, photo_files.read_photo(tmp_path / "face0" / "snapshots" / "step_000004.png"))


def test_who_ends_early_gets_what_stop_after_repeats(engine, tmp_path):
    """Two faces end at the end of the second chunk; the third, which was never begun, is left alone."""
    listener = Listener(last_chunk=2)
    batch_loop.invert(engine, iter(works(engine, tmp_path / "ended")), 2, listener)
    assert sorted(listener.finished_runs) == ["face0", "face1"]
    again = Method.of(dataclasses.replace(CONFIG, stop_after=8))
    batch_loop.invert(engine, iter(works(engine, tmp_path / "again", method=again)), 2, Listener())
    for name in ("losses.csv", "reconstruction.png", "latents.npz", "progress.gif"):
        for face in ("face0", "face1"):
            assert (tmp_path / "ended" / face / name).read_bytes() == (tmp_path / "again" / face / name).read_bytes()
    assert len((tmp_path / "ended" / "face0" / "losses.csv").read_text().splitlines()) == 1 + 8


def interrupt(monkeypatch, *, chunk: int, times: int) -> None:
    """Signals come after the steps of a chunk and before anything is recorded."""
    advance, calls = Batch.advance, []

    def advance_and_interrupt(self, chunk_steps):
        terms = advance(self, chunk_steps)
        calls.append(chunk_steps)
        for _ in range(times if len(calls) == chunk else 0):
            os.kill(os.getpid(), signal.SIGTERM)
        return terms

    monkeypatch.setattr(Batch, "advance", advance_and_interrupt)


@pytest.mark.parametrize(("times", "saved"), [(1, 8), (2, 4)])
def test_an_interrupted_run_goes_on_to_the_same_end(engine, whole, tmp_path, monkeypatch, times, saved):
    """The first signal lets the chunk be recorded; with the second what was recorded before it is saved."""
    listener = Listener()
    with monkeypatch.context() as patch:
        interrupt(patch, chunk=2, times=times)
        with pytest.raises(KeyboardInterrupt):
            batch_loop.invert(engine, iter(works(engine, tmp_path)), 2, listener)
    assert listener.finished_runs == [] and len(listener.lines) == 1
    left = works(engine, tmp_path, resume=True)
    assert [work.steps for work in left] == [saved, saved, 0]
    for work in left[:2]:
        assert int(work.reached[0].step) == saved
    batch_loop.invert(engine, iter(left), 2, listener)
    assert sorted(listener.finished_runs) == ["face0", "face1", "face2"]
    for index in range(3):
        for name in ("losses.csv", "reconstruction.png", "progress.gif"):
            ours, expected = tmp_path / f"face{index}" / name, whole / f"face{index}" / name
            assert ours.read_bytes() == expected.read_bytes(), ours
        with (
            np.load(tmp_path / f"face{index}" / "latents.npz") as a,
            np.load(whole / f"face{index}" / "latents.npz") as b,
        ):
            np.testing.assert_array_equal(a["ws"], b["ws"])


def test_faces_without_memory_are_saved_too(engine, tmp_path, monkeypatch):
    """Two faces lose their batch of two while the second chunk runs; one waits when the signal comes."""
    advance, calls = Batch.advance, []

    def run_out_of_memory(self, chunk_steps):
        calls.append(self.size)
        if len(calls) == 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        terms = advance(self, chunk_steps)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return terms

    monkeypatch.setattr(Batch, "advance", run_out_of_memory)
    listener = Listener()
    with pytest.raises(KeyboardInterrupt):
        batch_loop.invert(engine, iter(works(engine, tmp_path)), 2, listener)
    assert calls == [2, 2, 1] and "does not fit into memory; going on with 1" in listener.lines[0]
    assert [work.steps for work in works(engine, tmp_path, resume=True)] == [8, 4, 0]


def test_all_faces_that_ended_are_saved_before_one_is_tuned(engine, tmp_path, monkeypatch):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Tunings, "finish", stop)
    made = works(engine, tmp_path)
    for work in made:
        work.tuning = TuningConfig()
    batch_loop.invert(engine, iter(made[:2]), 2, Listener())
    assert [work.steps for work in works(engine, tmp_path, resume=True)] == [11, 11, 0]


def test_a_folder_that_cannot_be_written_costs_the_other_faces_nothing(engine, tmp_path, monkeypatch):
    checkpoint = RunFolder.checkpoint

    def fill_the_disk(self, *reached):
        if self.path.name == "face0":
            raise OSError(28, "No space left on device")
        checkpoint(self, *reached)

    monkeypatch.setattr(RunFolder, "checkpoint", fill_the_disk)
    made = works(engine, tmp_path)
    made[0].checkpoint_seconds = 0
    with pytest.raises(CannotGoOn, match="face0.*No space left on device"):
        batch_loop.invert(engine, iter(made), 2, Listener())
    assert [work.steps for work in works(engine, tmp_path, resume=True)] == [0, 8, 0]
