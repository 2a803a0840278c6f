"""One repair after the other, in a thread of its own; whoever asks for one waits in a queue, and may watch it.

A repair belongs to nobody's connection: it goes on when the page is closed, and can be watched again from a new one.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from experiments.cli import Mistakes, describe
from jaxgan.errors import UserError

State = Literal["waiting", "running", "finished", "failed"]


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """How far a repair has come.

    Attributes:
      state: "waiting" for others, "running", or one of the ends.
      before: repairs that come before it.
      step, steps: steps that are done, and their number; no steps before the search begins.
      seconds_left: None until that can be told.
      picture: the faces as they are now, a PNG file; None before the first one.
      message: what went wrong.
      is_cancelled: whether the visitor asked to stop.
    """

    state: State = "waiting"
    before: int = 0
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    picture: bytes | None = None
    message: str = ""
    is_cancelled: bool = False


@dataclasses.dataclass(eq=False)
class Task:
    """A repair that was asked for.

    Attributes:
      visitor: who asked.
      folder: of the result.
      work: does it; is given what to tell and what to ask.
    """

    visitor: str
    folder: Path
    work: Callable[[Teller], None]
    snapshot: Snapshot = Snapshot()


class Teller:
    """What the work of a task tells to all who watch it, and asks."""

    def __init__(self, tell: Callable[..., None], is_cancelled: Callable[[], bool]):
        self.tell = tell
        self.is_cancelled = is_cancelled
        self._first: tuple[float, int] | None = None

    def stepped(self, step: int, steps: int) -> None:
        """So many steps are done; the time left follows from those after the first, which wait for a compiler."""
        now, left = time.monotonic(), None
        if self._first is None:
            self._first = (now, step)
        elif step > self._first[1]:
            left = (now - self._first[0]) / (step - self._first[1]) * (steps - step)
        self.tell(step=step, steps=steps, seconds_left=left)


class Runner:
    """The queue and its thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Task] = deque()
        self._running: Task | None = None
        threading.Thread(target=self._run, daemon=True, name="repairs").start()

    def add(self, task: Task) -> Task:
        """Puts a task at the end of the queue."""
        with self._changed:
            self._waiting.append(task)
            self._changed.notify_all()
        return task

    def cancel(self, task: Task) -> bool:
        """Asks a task to end with what it has reached, or takes it out of the queue.

        Returns:
          Whether it waited, so that it never begins.
        """
        with self._changed:
            is_waiting = task in self._waiting
            if is_waiting:
                self._waiting.remove(task)
                self._set(task, state="failed", message="Cancelled before it began.", is_cancelled=True)
            else:
                self._set(task, is_cancelled=True)
        return is_waiting

    def of(self, visitor: str) -> list[Task]:
        """Lists the tasks of a visitor that have not ended, in their order."""
        return [task for task in self._tasks() if task.visitor == visitor]

    def folders(self) -> set[Path]:
        """The folders of results that are waited for or worked on."""
        return {task.folder for task in self._tasks()}

    def _tasks(self) -> list[Task]:
        with self._changed:
            return [task for task in (self._running, *self._waiting) if task is not None]

    def watch(self, task: Task) -> Iterator[Snapshot]:
        """Yields how far a task is, whenever that has changed, until it has ended."""
        seen = None
        while seen is None or seen.state in ("waiting", "running"):
            seen = self._next(task, seen)
            yield seen

    def _next(self, task: Task, seen: Snapshot | None) -> Snapshot:
        with self._changed:
            self._changed.wait_for(lambda: self._seen(task) != seen)
            return self._seen(task)

    def _seen(self, task: Task) -> Snapshot:
        if task not in self._waiting:
            return task.snapshot
        before = self._waiting.index(task) + (self._running is not None)
        return dataclasses.replace(task.snapshot, before=before)

    def _set(self, task: Task, **facts: Any) -> None:
        with self._changed:
            task.snapshot = dataclasses.replace(task.snapshot, **facts)
            self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                task = self._running = self._waiting.popleft()
                self._set(task, state="running")
            state, message = self._do(task)
            with self._changed:
                self._running = None
                self._set(task, state=state, message=message)

    def _do(self, task: Task) -> tuple[State, str]:
        """Does the work; whatever happens to one visitor's photograph, the thread goes on to the next."""
        teller = Teller(
            lambda **facts: self._set(task, **facts),
            lambda: task.snapshot.is_cancelled,
        )
        try:
            task.work(teller)
        except (UserError, Mistakes, ValueError, OSError, FloatingPointError) as error:
            return "failed", describe(error)
        except Exception as error:
            import traceback

            traceback.print_exc()
            return "failed", f"Something went wrong that should not: {type(error).__name__}: {describe(error)}"
        return "finished", ""
