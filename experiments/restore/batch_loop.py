"""Inverts a stream of faces in a batch: saves what each has reached, and writes the folder of each as it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import jax

from experiments.restore import degrade
from experiments.restore.face_run import Work, explain_how_to_go_on
from experiments.runs import report
from jaxgan import inversion, optimization
from jaxgan.batch import Batch
from jaxgan.generator import Generator
from jaxgan.lpips import LPIPS
from jaxgan.optimization import InversionState, LossTerms, Prior, Problem

WRITERS = 4
"""Threads that write pictures and checkpoints while the batch goes on."""
LARGEST_CHUNK = 25
"""Steps between two looks at the clock: half a second to a few seconds of work."""

_REPORT = threading.Lock()  # matplotlib draws in one thread at a time


@dataclasses.dataclass(frozen=True)
class Engine:
    """What all faces of a batch share."""

    generator: Generator
    lpips: LPIPS
    prior: Prior
    chunk_steps: int
    devices: tuple[jax.Device, ...]

    def batch(self, size: int) -> Batch:
        """An empty batch."""
        return Batch(self.generator, self.lpips, size, devices=self.devices)

    def put(self, batch: Batch, place: int, work: Work) -> None:
        """Begins or continues a face."""
        batch.put(place, *self._problem(work))

    def bytes_needed(self, work: Work, size: int) -> int:
        """Memory of one device that a batch of faces like this one takes."""
        return self.batch(size).bytes_needed(*self._problem(work))

    def _problem(self, work: Work) -> tuple[Problem, jax.Array, InversionState]:
        problem = optimization.make_problem(
            self.generator, self.lpips, work.observed, work.assumed, work.settings, prior=self.prior
        )
        if work.state is not None:
            return problem, work.key, work.state
        return problem, work.key, optimization.initial_state(self.generator, problem.start, work.settings, work.key)

    def finish(self, work: Work, state: InversionState) -> dict[str, Any]:
        """Writes everything into a face's folder; returns the metrics."""
        work.wait()
        with explain_how_to_go_on(work.run.path), _REPORT:
            losses = inversion.concatenate(work.history)
            work.run.checkpoint(state, losses)
            result = inversion.result_of(self.generator, work.settings, state, losses)
            metrics = report.write(
                work.run,
                truth=work.truth,
                observed=work.observed,
                result=result,
                degraded_again=degrade.apply(work.assumed, result.image),
                lpips=self.lpips,
                config=work.settings,
            )
            work.run.finish(metrics)
        return metrics


def chunk_steps(snapshot_every: int) -> int:
    """The longest chunk that ends at every snapshot."""
    return max(length for length in range(1, LARGEST_CHUNK + 1) if snapshot_every % length == 0)


class Listener(Protocol):
    """Who is told how a batch gets on; always called from the thread that called `invert`."""

    def advanced(self, works: list[Work]) -> None:
        """A chunk of steps of these faces is done."""

    def finished(self, work: Work, metrics: dict[str, Any]) -> None:
        """The folder of a face is complete."""

    def failed(self, work: Work, error: FloatingPointError) -> None:
        """The loss of a face is not a number."""

    def say(self, line: str) -> None:
        """A line for the user."""


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
    with ThreadPoolExecutor(WRITERS) as pool, _asked_to_stop(listener.say) as stop:
        loop = _Loop(engine, works, size, listener, pool)
        try:
            while loop.fill(stop) and not stop.is_set():
                loop.advance()
        except KeyboardInterrupt:  # the second one
            stop.set()
        if stop.is_set():
            loop.save()
        loop.collect(at_most=0)
        if stop.is_set():
            raise KeyboardInterrupt


class _Loop:
    """The batch, what is in it and what waits before and behind it."""

    def __init__(self, engine: Engine, works: Iterator[Work], size: int, listener: Listener, pool: ThreadPoolExecutor):
        self.engine = engine
        self.works = works
        self.listener = listener
        self.pool = pool
        self.batch = engine.batch(size)
        self.active: dict[int, Work] = {}
        self.waiting: deque[Work] = deque()  # begun, without a place since the batch was made smaller
        self.reports: deque[tuple[Work, Future]] = deque()

    def fill(self, stop: threading.Event) -> bool:
        """Gives free places to the next faces; tells whether there is anything to advance."""
        free = deque(place for place in range(self.batch.size) if place not in self.active)
        while free and not stop.is_set():
            work = self.waiting.popleft() if self.waiting else next(self.works, None)
            if work is None:
                break
            if work.state is not None and work.is_done:
                self._report(work, work.state)  # it was killed in its report
                continue
            self.active[free[0]] = work
            with self._smaller_if_memory_runs_out():
                self.engine.put(self.batch, free.popleft(), work)
        return bool(self.active or self.waiting)

    def advance(self) -> None:
        """A chunk of steps, and all that follows from it."""
        terms = None
        with self._smaller_if_memory_runs_out():
            terms = self.batch.advance(self.engine.chunk_steps)
        if terms is None:
            return
        self._record(terms)
        self.listener.advanced(list(self.active.values()))
        done = {place: work.is_done for place, work in self.active.items()}
        self._snapshots(done)
        for place, work in list(self.active.items()):
            if done[place]:
                self._report(work, self.batch.state(place))
                del self.active[place]
            elif work.is_checkpoint_due():
                work.save(self.pool, self.batch.state(place))
        self.collect(at_most=2 * self.batch.size)

    def save(self) -> None:
        """Checkpoints every face in the batch."""
        for place, work in self.active.items():
            if work.history:
                work.save(self.pool, self.batch.state(place))
        for work in (*self.active.values(), *self.waiting):
            work.wait()

    def collect(self, *, at_most: int) -> None:
        """Hands over reports that are written, waiting until no more than `at_most` are outstanding."""
        while self.reports and (len(self.reports) > at_most or self.reports[0][1].done()):
            work, report_ = self.reports.popleft()
            self.listener.finished(work, report_.result())

    def _record(self, terms: LossTerms) -> None:
        """Adds the losses to the histories, all of them before anything else, so that an interrupt finds them equal."""
        before = {place: work.steps for place, work in self.active.items()}
        for place, work in self.active.items():
            own = inversion.of_place(terms, place)
            work.history.append(inversion.taken(own, self.engine.chunk_steps, work.settings, work.history))
        for place, work in list(self.active.items()):
            try:
                inversion.check_finite(work.history[-1], before[place])
            except FloatingPointError as error:
                del self.active[place]
                self.listener.failed(work, error)

    def _snapshots(self, done: dict[int, bool]) -> None:
        due = [place for place, work in self.active.items() if done[place] or work.is_snapshot_due()]
        if due:
            pictures = self.batch.render()
            for place in due:
                self.active[place].save_snapshot(self.pool, pictures[place])

    def _report(self, work: Work, state: InversionState) -> None:
        self.reports.append((work, self.pool.submit(self.engine.finish, work, state)))

    @contextlib.contextmanager
    def _smaller_if_memory_runs_out(self) -> Iterator[None]:
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            half = self.batch.size // 2 // len(self.engine.devices) * len(self.engine.devices)
            if "RESOURCE_EXHAUSTED" not in str(error) or half == 0:
                raise
            self.listener.say(f"a batch of {self.batch.size} does not fit into memory; going on with {half}.")
            for place, work in self.active.items():
                if work.history:
                    work.state = self.batch.state(place)
            self.waiting.extendleft(reversed(self.active.values()))
            self.active = {}
            self.batch = self.engine.batch(half)


@contextlib.contextmanager
def _asked_to_stop(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts at once. Only the main thread gets signals."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say("stopping after this chunk of steps; once more to stop at once.")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
