"""A face to invert: what is known of it, what it has reached, and its folder, written in the background."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import cli
from experiments.runs.estimate import Estimated
from experiments.runs.folder import RunFolder
from jaxgan.degradations import Degradation
from jaxgan.errors import UserError
from jaxgan.loop import Progress
from jaxgan.methods import Method
from jaxgan.optimization import InversionState, LossTerms
from jaxgan.tuning_steps import TuningConfig, TuningState, TuningTerms

LARGEST_CHUNK = 25
"""Steps between two looks at the clock: half a second to a few seconds of work."""


class CannotGoOn(UserError):
    """The disk is full or a folder closed: what is done is saved, and the whole run stops."""


@dataclasses.dataclass(eq=False)
class Work:
    """A face to invert, with its claimed folder; what it has reached so far.

    Attributes:
      run: the folder.
      settings: of its inversion.
      truth: the face before it was degraded, `[H, W, 3]`; None if the photograph was damaged already.
      observed: the face as it is known, in 8 bits.
      assumed: the degradation that is assumed to have led from one to the other.
      key: of its randomness.
      snapshot_every: steps between two pictures of the iterate.
      checkpoint_seconds: time between two checkpoints.
      tuning: the settings of the tuning that follows the inversion; None for none.
      reached: state and losses that an earlier process left; None at the beginning.
      progress: reached by this process since; None until its first chunk.
      tuning_reached: state and losses of it that an earlier process left; None at the beginning.
      tuning_progress: reached by this process since; None until its first chunk.
      estimated: the parameters of `assumed` that were unknown; None if all are known.
      noise: standard deviation of the noise in `observed`, in 8-bit levels; None for that of rounding.
      blur_doubt: the share by which the width of the blur may be wrong, so that the restoration does not rely on it.
      fidelity: of the restoration, see `jaxgan.restore`.
      method: the name of the inversion, by which the restoration finds what it knows of its errors.
      offset: added to the first w, `[w_dim]`; None for nothing.
    """

    run: RunFolder
    settings: Method
    truth: jax.Array | None
    observed: jax.Array
    assumed: Degradation
    key: jax.Array
    snapshot_every: int
    checkpoint_seconds: float
    reached: tuple[InversionState, LossTerms] | None = None
    progress: Progress | None = None
    noise: float | None = None
    blur_doubt: float = 0.0
    fidelity: float = 0.0
    method: str = "default"
    offset: jax.Array | None = None
    tuning: TuningConfig | None = None
    tuning_reached: tuple[TuningState, TuningTerms] | None = None
    tuning_progress: Progress | None = None
    estimated: Estimated | None = None
    _writing: list[Future] = dataclasses.field(default_factory=list)

    @property
    def total_steps(self) -> int:
        """The number of steps done, those of the tuning among them."""
        return self.steps + _steps(self.tuning_reached, self.tuning_progress)

    @property
    def steps(self) -> int:
        """The number of steps of the inversion done."""
        return _steps(self.reached, self.progress)

    def is_snapshot_due(self) -> bool:
        """Whether the animation has a frame of this step."""
        return self.steps % self.snapshot_every == 0

    def save_snapshot(self, pool: ThreadPoolExecutor, picture: np.ndarray) -> None:
        """Writes a frame of the animation in the background."""
        self._forget_written()
        self._writing.append(pool.submit(self._guarded, self.run.write_snapshot, self.steps, picture))

    def is_checkpoint_due(self) -> bool:
        """Whether the last checkpoint is old."""
        return self.run.seconds_since_checkpoint() >= self.checkpoint_seconds

    def save(self, pool: ThreadPoolExecutor) -> None:
        """Writes a checkpoint in the background, after the pictures and the checkpoint that came before it."""
        self.wait()
        progress = self.progress
        self._writing.append(pool.submit(self._guarded, self.run.checkpoint, progress.state, progress.losses))

    def save_tuning(self) -> None:
        """Writes a checkpoint of the tuning, now."""
        with explain_how_to_go_on(self.run.path):
            self.run.checkpoint_tuning(self.tuning_progress.state, self.tuning_progress.losses)

    def wait(self) -> None:
        """Waits for what is being written; raises what went wrong."""
        for future in self._writing:
            future.result()
        self._writing = []

    def _forget_written(self) -> None:
        for future in [future for future in self._writing if future.done()]:
            future.result()
            self._writing.remove(future)

    def _guarded(self, write: Callable, *arguments: Any) -> None:
        with explain_how_to_go_on(self.run.path):
            write(*arguments)


def _steps(reached: tuple[Any, Any] | None, progress: Progress | None) -> int:
    if progress is not None:
        return progress.steps
    return 0 if reached is None else len(reached[1].total)


@contextlib.contextmanager
def explain_how_to_go_on(folder: Path) -> Iterator[None]:
    """Adds to an error of the file system in the middle of a run what to do next.

    Raises:
      CannotGoOn: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise CannotGoOn(
            f"{folder}: {cli.describe(error)}; make room or give access, then repeat the command with --resume."
        ) from error
