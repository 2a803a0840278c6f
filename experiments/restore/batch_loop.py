"""Inverts a stream of faces in a batch: saves what each has reached, and writes the folder of each as it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import jax
import numpy as np

from experiments import interrupts
from experiments.restore import completion, degrade, tunings
from experiments.restore.face_run import LARGEST_CHUNK, CannotGoOn, Work, explain_how_to_go_on
from experiments.restore.tunings import Tunings
from experiments.runs import estimate, report
from jaxgan import inversion, loop, optimization, tuning
from jaxgan.batch import Batch
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.inversion_image import InversionImage
from jaxgan.loop import Chunk
from jaxgan.lpips import LPIPS
from jaxgan.optimization import InversionState, LossTerms, Prior
from jaxgan.tuning_image import TuningImage

WRITERS = 4
"""Threads that write pictures and checkpoints while the batch goes on."""

_REPORT = threading.Lock()  # matplotlib draws in one thread at a time


@dataclasses.dataclass(frozen=True)
class Engine:
    """What all faces of a batch share.

    Attributes:
      generator, lpips: the networks.
      prior: finds what is known of the latents, as a config asks for it.
      devices: that share the batch.
    """

    generator: Generator
    lpips: LPIPS
    prior: Callable[[InversionConfig], Prior]
    devices: tuple[jax.Device, ...]

    def image(self, work: Work) -> InversionImage:
        """A face as the library's loop takes it."""
        prior = self.prior(work.settings.first)
        parts = (work.observed, work.assumed, work.settings, work.key, prior, work.reached)
        return InversionImage(*parts, name=work, offset=work.offset)

    def bytes_needed(self, work: Work, size: int) -> int:
        """Memory of one device that a batch of faces like this one takes in the last phase, which has most latents."""
        batch = Batch(self.generator, self.lpips, size, devices=self.devices)
        last = len(work.settings.phases) - 1
        return batch.bytes_needed(*self.image(work).problem(self.generator, self.lpips, phase=last))

    def finish(self, work: Work, state: InversionState, losses: LossTerms, ended: TuningImage | None) -> dict[str, Any]:
        """Writes everything into a face's folder, also of the tuning if that has ended; returns the metrics."""
        work.wait()
        with explain_how_to_go_on(work.run.path), _REPORT:
            work.run.checkpoint(state, losses)
            result = inversion.result_of(self.generator, work.settings, state, losses)
            again = functools.partial(degrade.apply, work.assumed)
            complete = functools.partial(completion.complete, work, network=self.generator.config.source_sha256)
            tuned = None if ended is None else tuning.result_of(self.generator, ended)
            metrics = report.write(
                work.run,
                truth=work.truth,
                observed=work.observed,
                result=result,
                degraded_again=again(result.image),
                restoration=complete(result.image),
                lpips=self.lpips,
                method=work.settings,
                earlier=[
                    report.Phase(latents, image := optimization.render(self.generator, latents), again(image))
                    for latents in result.earlier
                ],
                tuned=None if tuned is None else report.Tuned(tuned, again(tuned.image), complete(tuned.image)),
            )
            if work.estimated is None:
                work.run.finish(metrics)
            else:
                estimate.plot(work.run.path / "estimate.png", work.estimated)
                work.run.finish(metrics, estimated=estimate.facts(work.estimated))
        return metrics


def chunk_steps(works: list[Work]) -> int:
    """The length of a chunk that ends where the next of these faces has a snapshot, or on an even way there."""
    left = min(work.snapshot_every - work.steps % work.snapshot_every for work in works)
    return -(-left // -(-left // LARGEST_CHUNK))


class Listener(tunings.Listener, Protocol):
    """Who is told how a batch gets on; always called from the thread that called `invert`."""

    def finished(self, work: Work, metrics: dict[str, Any]) -> None:
        """The folder of a face is complete."""

    def pictured(self, work: Work, picture: np.ndarray) -> None:
        """The image of a face is this one now; told of every frame of the animation."""

    def wants_end(self) -> bool:
        """Whether all faces shall end here with the best that they have reached; asked once after every chunk."""


def invert(engine: Engine, works: Iterator[Work], size: int, listener: Listener) -> None:
    """Inverts all faces; the next is taken from `works` when a place gets free.

    Args:
      engine: what they share.
      works: the faces.
      size: places of the batch, halved when memory runs out.
      listener: told of everything.
    Raises:
      KeyboardInterrupt: Ctrl-C or SIGTERM; the chunk was finished and what was reached is saved.
      UserError: a folder cannot be written.
    """
    with ThreadPoolExecutor(WRITERS) as pool, interrupts.postponed(listener.say) as requested:
        desk = _Desk(engine, listener, pool, requested, size)
        chunks = loop.run(
            engine.generator,
            engine.lpips,
            desk.images(works),
            size=size,
            chunk_steps=lambda images: chunk_steps([image.name for image in images]),
            devices=engine.devices,
            on_smaller=lambda old, new: listener.say(
                f"a batch of {old} does not fit into memory; going on with {new}."
            ),
        )
        try:
            for chunk in chunks:
                desk.take(chunk)
                desk.collect(at_most=2 * size)  # also what was written meanwhile
                if requested():
                    break
                if listener.wants_end():
                    desk.end()
                    break
            if not requested():
                desk.tunings.finish()
        except KeyboardInterrupt:  # asked for before a face began, or for the second time
            pass
        except CannotGoOn:
            with contextlib.suppress(CannotGoOn):  # that folder, again
                desk.save()
            raise
        if requested():
            desk.save()
        desk.collect(at_most=0)


class _Desk:
    """Writes what comes out of the batch: frames, checkpoints and reports."""

    def __init__(
        self,
        engine: Engine,
        listener: Listener,
        pool: ThreadPoolExecutor,
        requested: Callable[[], bool],
        size: int,
    ):
        self.engine = engine
        self.size = size
        networks = engine.generator, engine.lpips
        self.tunings = Tunings(networks, engine.devices, size, listener, self._report, requested)
        self.requested = requested  # to stop
        self.listener = listener
        self.pool = pool
        self.open: dict[Work, None] = {}  # have made steps, and are neither reported nor failed; a set in order
        self.reports: deque[tuple[Work, Future]] = deque()

    def images(self, works: Iterator[Work]) -> Iterator[InversionImage]:
        """The faces that have steps of the inversion left."""
        for work in works:
            if self.requested():
                raise KeyboardInterrupt
            image = self.engine.image(work)
            if image.is_done:
                self._complete(work, *work.reached)  # it was stopped in its tuning, or killed in its report
                self.tunings.run_full()
            else:
                yield image

    def take(self, chunk: Chunk) -> None:
        """Records a chunk of steps, and writes all that is due after it."""
        for progress in chunk.progresses:
            progress.image.name.progress = progress
            self.open[progress.image.name] = None
        works = [progress.image.name for progress in chunk.progresses]
        for work in [work for work in works if work.progress.error is not None]:
            works.remove(work)
            del self.open[work]
            self.listener.failed(work, work.progress.error)
        self.listener.advanced(works)
        self._snapshots(chunk, {work for work in works if work.progress.is_done or work.is_snapshot_due()})
        for work in works:
            if work.progress.is_done:
                self._complete(work, work.progress.state, work.progress.losses)
            elif work.is_checkpoint_due():
                work.save(self.pool)
        self.tunings.run_full()

    def end(self) -> None:
        """Reports every face that has made steps, as if these were all that it is to have."""
        for work in list(self.open):
            self._complete(work, work.progress.state, work.progress.losses)

    def save(self) -> None:
        """Checkpoints every face that has made steps.

        Raises:
          CannotGoOn: the folder of one cannot be written; those of the others are.
        """
        failure: CannotGoOn | None = None
        for write in (lambda work: work.save(self.pool), Work.wait):
            for work in self.open:
                try:
                    write(work)
                except CannotGoOn as error:
                    failure = error
        if failure is not None:
            raise failure

    def collect(self, *, at_most: int) -> None:
        """Hands over reports that are written, waiting until no more than `at_most` are outstanding."""
        while self.reports and (len(self.reports) > at_most or self.reports[0][1].done()):
            work, report_ = self.reports.popleft()
            self.listener.finished(work, report_.result())

    def _snapshots(self, chunk: Chunk, due: set[Work]) -> None:
        for progress, picture in zip(chunk.progresses, chunk.render(), strict=True) if due else ():
            if progress.image.name in due:
                progress.image.name.save_snapshot(self.pool, picture)
                self.listener.pictured(progress.image.name, picture)

    def _complete(self, work: Work, state: InversionState, losses: LossTerms) -> None:
        """Reports, or lets a face wait for its tuning, if that is asked for."""
        if work.tuning is not None:
            self.tunings.add(work, state, losses)  # which saves it, before it is forgotten here
        self.open.pop(work, None)
        work.reached, work.progress = (state, losses), None  # which held the state of the whole batch
        if work.tuning is None:
            self._report(work, None)

    def _report(self, work: Work, tuned: TuningImage | None) -> None:
        self.reports.append((work, self.pool.submit(self.engine.finish, work, *work.reached, tuned)))
        self.collect(at_most=2 * self.size)
