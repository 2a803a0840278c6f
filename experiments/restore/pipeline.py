"""From photographs to finished folders: one photograph, whose errors end the command, or many, which are put on record.

Both take each photograph through the same stages: its crops are loaded, its folders claimed, its faces inverted in
batches, and then it is finished.
"""

from __future__ import annotations

import itertools
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from PIL import Image

from experiments.cli import describe, say
from experiments.restore import batch_loop, batch_size, crops, degrade, estimation
from experiments.restore.crops import Crop
from experiments.restore.face_run import CannotGoOn, Work, explain_how_to_go_on
from experiments.restore.finish import finish
from experiments.restore.jobs import Job
from experiments.restore.photograph import Photograph, claim
from experiments.restore.progress import Progress
from experiments.runs import report
from jaxgan import optimization
from jaxgan.errors import UserError
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.lpips import LPIPS
from jaxgan.optimization import Prior

LOADED_AHEAD = 2
"""Photographs that are read, and their faces found, before a place in the batch is free."""


class Engine(NamedTuple):
    """Networks, and how they are run.

    Attributes:
      generator, lpips: the networks.
      devices: share a batch.
      batch_size: faces in it; "auto": as many as fit into memory.
      label: class of a class-conditional generator; None for all of them.
    """

    generator: Generator
    lpips: LPIPS
    devices: tuple[jax.Device, ...]
    batch_size: int | str
    label: int | None = None

    def shared_prior(self) -> Callable[[InversionConfig], Prior]:
        """Makes a function that finds what is known of the generator's latents, once for all configs that ask alike."""
        found: dict[tuple[int, int], Prior] = {}

        def prior(config: InversionConfig) -> Prior:
            kind = (config.w_samples, config.start_samples)
            if kind not in found:
                found[kind] = optimization.make_prior(self.generator, config, label=self.label)
            return found[kind]

        return prior

    def with_prior(self, prior: Callable[[InversionConfig], Prior]) -> batch_loop.Engine:
        """Whatever all faces of a batch share."""
        return batch_loop.Engine(self.generator, self.lpips, prior, self.devices)


class Watcher(Protocol):
    """Somebody who looks at the faces of a photograph while they are inverted, and may end that."""

    def advanced(self, works: list[Work]) -> None:
        """A chunk of steps of these faces is done."""

    def pictured(self, work: Work, picture: np.ndarray) -> None:
        """The image of a face is this one now, `[H, W, 3]`; told every `snapshot_every` steps."""

    def wants_end(self) -> bool:
        """Whether to end here, with the best that was reached; asked once after every chunk."""


def restore_one(
    engine: Engine, job: Job, faces: list[Crop], *, resume: bool, overwrite: bool, watcher: Watcher | None = None
) -> None:
    """Restores a photograph.

    Args:
      engine: computes.
      job: the photograph.
      faces: its crops, loaded before any folder is made so that mistakes leave nothing.
      resume, overwrite: what to do with the folders that are there.
      watcher: told of steps and pictures; faces that were never begun when it ends the search are left out.
    Raises:
      UserError: a folder cannot be claimed or written.
      FloatingPointError: a loss is not a number.
      KeyboardInterrupt: see `batch_loop.invert`.
    """
    photograph = claim(job, faces, engine.generator, resume=resume, overwrite=overwrite)
    try:
        for run in photograph.runs:
            if run.is_finished:
                say(f"{run.path} is finished already; nothing to resume.")
        title, works = f"{job.damage.task} {job.path.name}", photograph.works
        lines: list[str] = []  # below the bar
        total, initial = job.steps_of_run * len(works), sum(work.total_steps for work in works)
        with Progress.shown(title, total=total, initial=initial) as progress:
            if works:
                prior = engine.shared_prior()
                with explain_how_to_go_on(job.folder):
                    estimation.estimate(photograph, engine.generator, prior, progress)
                batch = engine.with_prior(prior)
                size = engine.batch_size
                if size == "auto":
                    size = batch_size.fitting_size(batch, works[0], len(works), progress.say)
                for work in works:
                    progress.begin(work)
                batch_loop.invert(batch, iter(works), int(size), _OfOne(progress, lines, watcher))
        with explain_how_to_go_on(job.folder):
            finish(photograph.begun(), engine.generator.config.resolution, lines.append)
        for line in lines:
            say(line)
    finally:
        photograph.release()


class _OfOne:
    """Told by `batch_loop.invert` how a single photograph gets on; errors are raised."""

    def __init__(self, progress: Progress, lines: list[str], watcher: Watcher | None):
        self._progress = progress
        self._lines = lines
        self._watcher = watcher

    def advanced(self, works: list[Work]) -> None:
        self._progress.advance(works)
        if self._watcher is not None:
            self._watcher.advanced(works)

    def finished(self, work: Work, metrics: dict[str, Any]) -> None:
        self._lines.append(report.summary(work.run.path, metrics))

    def failed(self, work: Work, error: FloatingPointError) -> None:
        raise FloatingPointError(f"{work.run.path}: {error} Start again with --overwrite.") from error

    def pictured(self, work: Work, picture: np.ndarray) -> None:
        if self._watcher is not None:
            self._watcher.pictured(work, picture)

    def wants_end(self) -> bool:
        return self._watcher is not None and self._watcher.wants_end()

    def say(self, line: str) -> None:
        self._progress.say(line)


class Record(Protocol):
    """The events of many photographs; see `experiments.runs.manifest`."""

    sizes: dict[str, int]

    def write(self, item: str, state: Any, **facts: Any) -> None:
        """Adds an event of a photograph or of one of its faces."""

    def write_size(self, group: str, size: int) -> None:
        """Adds the size of a batch that was chosen by the memory there is."""


def restore_many(engine: Engine, jobs: Sequence[Job], record: Record, *, quiet: bool = False) -> dict[str, str]:
    """Restores photographs, and goes on with what earlier attempts left of them.

    Args:
      engine: computes.
      jobs: the photographs.
      record: gets every event.
      quiet: show neither bar nor lines.
    Returns:
      Why photographs failed, by their names.
    Raises:
      CannotGoOn: a folder cannot be written.
      KeyboardInterrupt: see `batch_loop.invert`.
    """
    if not jobs:
        return {}
    title = f"{jobs[0].damage.task} {len(jobs)} photograph{'s' * (len(jobs) != 1)}"
    with Progress.shown(title, total=sum(job.total_steps for job in jobs), quiet=quiet) as progress:
        many = _Many(engine, record, progress)
        try:
            for name, group in _groups(jobs).items():
                many.invert(name, group)
        finally:
            many.release()
    return many.failures


class _Many:
    """Many photographs on their way; told by `batch_loop.invert` how their faces get on."""

    def __init__(self, engine: Engine, record: Record, progress: Progress):
        self.failures: dict[str, str] = {}
        self._engine = engine
        self._record = record
        self._progress = progress
        self._photograph_of: dict[Work, Photograph] = {}
        self._prior = engine.shared_prior()  # by all groups

    def invert(self, name: str, group: list[Job]) -> None:
        """Restores a group of photographs that one compiled program serves."""
        works = self._works(group)
        first = next(works, None)
        if first is None:
            return
        batch = self._engine.with_prior(self._prior)
        size = self._engine.batch_size
        if size == "auto":
            size = self._record.sizes.get(name)
            if size is None:
                faces = max(1, len(self._photograph_of[first].faces))
                size = batch_size.fitting_size(batch, first, faces * sum(len(job.starts) for job in group), self.say)
                self._record.write_size(name, size)
        batch_loop.invert(batch, itertools.chain([first], works), int(size), self)

    def _estimate(self, photograph: Photograph) -> None:
        try:
            estimation.estimate(photograph, self._engine.generator, self._prior, self._progress)
        except BaseException:
            photograph.release()
            raise

    def release(self) -> None:
        """Lets other processes write into the folders that are not finished."""
        for photograph in self._photograph_of.values():
            photograph.release()

    def _works(self, group: list[Job]) -> Iterator[Work]:
        """Faces of photographs that are loaded a little ahead of their turn."""
        for job, loaded in self._loaded(group):
            try:
                faces = loaded.result()
                with explain_how_to_go_on(job.folder):
                    photograph = claim(job, faces, self._engine.generator, resume=True, overwrite=False)
                    self._estimate(photograph)
            except CannotGoOn:
                raise
            except (UserError, OSError) as error:
                self._fail(job, error)
                self._progress.expect(-job.total_steps)
                continue
            done = sum(work.total_steps for work in photograph.works)
            self._progress.expect(len(photograph.works) * job.steps_of_run - done - job.total_steps)
            for work in photograph.works:
                self._photograph_of[work] = photograph
            if not photograph.works:
                self._finish(photograph)
            for work in photograph.works:
                self._progress.begin(work)
                self._record.write(_item(job, work), "started", image=str(job.path))
                yield work

    def _loaded(self, group: list[Job]) -> Iterator[tuple[Job, Future]]:
        with ThreadPoolExecutor(1) as loader:
            ahead: deque[tuple[Job, Future]] = deque()
            config = self._engine.generator.config
            for job in group:
                ahead.append((job, loader.submit(crops.load, job, config, say=self.say)))
                if len(ahead) > LOADED_AHEAD:
                    yield ahead.popleft()
            yield from ahead

    def advanced(self, works: list[Work]) -> None:
        """Moves the bar."""
        self._progress.advance(works)

    def finished(self, work: Work, metrics: dict[str, Any]) -> None:
        """Puts a face on record and, with the last one, the photograph."""
        photograph = self._forget(work)
        self.say(report.summary(work.run.path, metrics))
        if work.run.path != photograph.job.folder:
            self._record.write(_item(photograph.job, work), "finished", result=metrics)
        if photograph not in self._photograph_of.values():
            self._finish(photograph)

    def failed(self, work: Work, error: FloatingPointError) -> None:
        """Puts a photograph on record, a face of which has a loss that is not a number."""
        photograph = self._forget(work)
        work.run.release()
        self._fail(photograph.job, error)

    def pictured(self, work: Work, picture: np.ndarray) -> None:
        """Does nothing: nobody watches many photographs."""

    def wants_end(self) -> bool:
        """Lets every face have all its steps."""
        return False

    def say(self, line: str) -> None:
        """Writes a line above the bar."""
        self._progress.say(line)

    def _forget(self, work: Work) -> Photograph:
        self._progress.end(work)
        return self._photograph_of.pop(work)

    def _finish(self, photograph: Photograph) -> None:
        job = photograph.job
        if job.name not in self.failures:
            with explain_how_to_go_on(job.folder):
                facts = finish(photograph, self._engine.generator.config.resolution, self.say)
                self._record.write(job.name, "finished", image=str(job.path), **facts)

    def _fail(self, job: Job, error: Exception) -> None:
        self.failures[job.name] = describe(error)
        self._record.write(job.name, "failed", image=str(job.path), error=self.failures[job.name])
        self.say(f"{job.name} failed: {self.failures[job.name]}")


def _item(job: Job, work: Work) -> str:
    """The name of a face or seed among all of a record."""
    return str(work.run.path.relative_to(job.folder.parent))


def _groups(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """Photographs that one compiled program serves, together, by a name that is the same in every process."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        damage = job.damage
        kernels = (damage.kernel_size, damage.assume_kernel_size, damage.sigma is None, degrade.octave(damage))
        programs = tuple(phase.program() for phase in job.inversion.phases)
        size = damage.factor if job.method == "robust" else None  # of what it compares
        facts = (programs, sorted(damage.tasks), kernels, damage.blind, damage.degradation, _compression(job), size)
        name = f"{'+'.join(sorted(job.damage.tasks)) or 'invert'}-{zlib.crc32(repr(facts).encode()):08x}"
        groups.setdefault(name, []).append(job)
    return groups


def _compression(job: Job) -> tuple | None:
    """Tells files apart whose compression is assumed, or not, in programs of their own."""
    if "dejpeg" not in job.damage.tasks or not job.damage.already_degraded or not job.already_aligned:
        return None
    try:
        with Image.open(job.path) as picture:
            return picture.size, getattr(picture, "layer", None)
    except OSError:
        return None  # told where the photograph is read
