"""Tunes a copy of the network for each face whose inversion is done: several faces at once where that is faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import jax

from experiments.restore.face_run import LARGEST_CHUNK, Work, explain_how_to_go_on
from jaxgan import inversion, loop, tuning, tuning_steps
from jaxgan.degradations import without_draws
from jaxgan.generator import Generator
from jaxgan.lpips import LPIPS
from jaxgan.optimization import InversionState, LossTerms
from jaxgan.tuning_image import TuningImage
from jaxgan.tuning_steps import Pivot

OF_TUNING = 0xFFFF_FFFE
"""The key of a face with this number in it is that of its tuning; the steps of the loop have smaller numbers."""


class Listener(Protocol):
    """Who is told how the tunings get on."""

    def advanced(self, works: list[Work]) -> None:
        """A chunk of steps of these faces is done."""

    def failed(self, work: Work, error: FloatingPointError) -> None:
        """The loss of a face is not a number."""

    def say(self, line: str) -> None:
        """A line for the user."""


class Tunings:
    """Faces that wait for their tuning: until they fill a batch, or no other comes."""

    def __init__(
        self,
        networks: tuple[Generator, LPIPS],
        devices: tuple[jax.Device, ...],
        size: int,
        listener: Listener,
        report: Callable[[Work, TuningImage], None],
        requested: Callable[[], bool],
    ):
        """Begins without a face.

        Args:
          networks: the generator, which stays as it is, and LPIPS.
          devices: share a batch.
          size: the faces of a batch, halved when memory runs out; a CPU takes one.
          listener: told of everything.
          report: called with each face whose tuning has ended.
          requested: whether to stop.
        """
        self._networks = networks
        self._devices = devices
        self._size = tuning.at_once(devices, size)
        self._listener = listener
        self._report = report
        self._requested = requested
        self._waiting: list[Work] = []

    def add(self, work: Work, state: InversionState, losses: LossTerms) -> None:
        """Takes a face whose inversion ended in a state, and saves that.

        Raises:
          CannotGoOn: its folder cannot be written.
        """
        work.wait()
        with explain_how_to_go_on(work.run.path):
            work.run.checkpoint(state, losses)
        self._waiting.append(work)

    def run_full(self) -> None:
        """Tunes for the faces that wait if they fill a batch; see `finish`."""
        if len(self._waiting) >= self._size:
            self.finish()

    def finish(self) -> None:
        """Tunes for all faces that wait.

        Raises:
          CannotGoOn: a folder cannot be written.
          KeyboardInterrupt: asked for meanwhile; what was reached is saved.
        """
        works, self._waiting = self._waiting, []
        images = [self._image(work) for work in works]
        for image in images:
            if image.is_done:  # the process was killed in its report
                self._end(image)
        left = [image for image in images if not image.is_done]
        for chunk in loop.run(
            *self._networks,
            left,
            size=self._size,
            chunk_steps=lambda _: LARGEST_CHUNK,
            program=tuning_steps.run_chunks,
            devices=self._devices,
            on_smaller=self._take_fewer,
        ):
            self._take(chunk.progresses)

    def _take(self, progresses: list[loop.Progress]) -> None:
        for progress in progresses:
            progress.image.name.tuning_progress = progress
        well = [progress for progress in progresses if progress.error is None]
        self._listener.advanced([progress.image.name for progress in well])
        stops = self._requested()
        for progress in well:
            if stops or progress.is_done or progress.image.name.is_checkpoint_due():
                progress.image.name.save_tuning()
        if stops:
            raise KeyboardInterrupt
        for progress in progresses:
            if progress.error is not None:
                error = FloatingPointError(f"tuning: {progress.error}")
                self._listener.failed(progress.image.name, error)
            elif progress.is_done:
                self._end(progress.then())

    def _end(self, image: TuningImage) -> None:
        image.name.tuning_reached = image.name.tuning_progress = None  # the weights and their moments
        self._report(image.name, image)

    def _image(self, work: Work) -> TuningImage:
        """A face as the library's loop takes it."""
        result = inversion.result_of(self._networks[0], work.settings, *work.reached)
        return TuningImage(
            work.observed,
            without_draws(work.assumed),
            Pivot(result.ws, result.noise),
            work.tuning,
            jax.random.fold_in(work.key, OF_TUNING),
            work.tuning_reached,
            name=work,
        )

    def _take_fewer(self, old: int, new: int) -> None:
        self._size = new
        self._listener.say(f"{old} networks do not fit into memory; going on with {new} at a time.")
