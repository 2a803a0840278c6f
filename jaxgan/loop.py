"""The loop of every inversion and tuning: puts images into a batch, advances them, checks them and takes out the ended.

A batch holds images of one phase of their method. An image that ends a phase waits until no other is in that phase; so
images that began together go on together.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from jaxgan import optimization
from jaxgan.batch import Batch, Program
from jaxgan.generator import Generator
from jaxgan.lpips import LPIPS

Losses = Any
"""Terms of a loss, a named tuple of arrays `[steps]` whose first is the `total`."""


@runtime_checkable
class Image(Protocol):
    """An image as the loop takes it: an `inversion_image.InversionImage` or a `tuning_image.TuningImage`.

    Both are frozen dataclasses, and inherit what is said here once.
    """

    @property
    def reached(self) -> tuple[Any, Losses] | None:
        """The state and the losses that an earlier run ended with; None to begin."""

    @property
    def name(self) -> Any:
        """Whatever the caller knows it by."""

    @property
    def phase(self) -> int:
        """The phase that its next step belongs to; 0 where there is only one."""
        return 0

    @property
    def is_done(self) -> bool:
        """Whether an earlier run left nothing to do."""
        return self.reached is not None and self.ends_with(self.reached[1])

    def problem(self, generator: Generator, lpips: LPIPS) -> tuple[Any, PRNGKeyArray, Any]:
        """Makes the problem, the key and the state that `Batch.put` takes."""

    def own(self, chunk: Losses, steps: int) -> Losses:
        """Takes from the losses of a chunk those of the steps that it made after so many."""

    def ends_with(self, losses: Losses) -> bool:
        """Whether it has nothing left to do after steps of these losses."""

    def ends_phase_with(self, losses: Losses) -> bool:
        """Whether the next step, if there is one, belongs to another phase than the last one."""
        return False


@dataclasses.dataclass(frozen=True, eq=False)
class Progress:
    """The progress of an image. It never changes, so its state and its losses belong together for ever.

    Attributes:
      image: the image.
      losses: of all its steps so far, each `[steps]`, on the host.
      error: tells of a loss that is not finite, where the image ended; None if there is none.
    """

    image: Any
    losses: Losses
    error: FloatingPointError | None
    _states: Any  # of the whole batch
    _place: int

    @property
    def state(self) -> Any:
        """The state after those steps, on the host."""
        return jax.tree.map(lambda leaf: np.asarray(leaf[self._place]), self._states)

    @property
    def steps(self) -> int:
        """The number of steps done."""
        return len(self.losses.total)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.image.ends_with(self.losses)

    @property
    def ends_phase(self) -> bool:
        """Whether the next step, if there is one, belongs to another phase than the last one."""
        return self.image.ends_phase_with(self.losses)

    def then(self) -> Any:
        """Makes the image that goes on from here."""
        return dataclasses.replace(self.image, reached=(self.state, self.losses))


class Chunk(NamedTuple):
    """A chunk of steps of a batch.

    Attributes:
      progresses: of all images that took part, those among them that have ended.
      batch: their batch.
    """

    progresses: list[Progress]
    batch: Batch

    def render(self) -> list[Float[np.ndarray, "h w 3"]]:
        """The image that each of them is now, of inversions; ask before the next chunk."""
        pictures = self.batch.render()
        return [pictures[progress._place] for progress in self.progresses]


def run(
    generator: Generator,
    lpips: LPIPS,
    images: Iterable[Image],
    *,
    size: int,
    chunk_steps: Callable[[list[Any]], int],
    program: Program = optimization.run_chunks,
    devices: Sequence[jax.Device] | None = None,
    on_smaller: Callable[[int, int], None] | None = None,
) -> Iterator[Chunk]:
    """Optimises images, and yields after every chunk of steps how far those in the batch have come.

    An image is in all chunks to that in which it is done or fails; then the next one takes its place. Whoever stops
    asking stops the loop, and holds in the last chunk all that was reached.

    Args:
      generator, lpips: the networks.
      images: taken one by one as places get free; none of them is done already.
      size: places of the batch.
      chunk_steps: length of the next chunk, from the images that take part in it.
      program: the steps; default: those of inversions.
      devices: that share the batch; default: the first one.
      on_smaller: told that a batch of the first number of places did not fit into memory and that the loop goes on with
        the second, half of it; None: the error is raised.
    """
    batch = Batch(generator, lpips, size, program=program, devices=devices)
    count = 1 if devices is None else len(devices)
    upcoming = iter(images)
    waiting: deque[Image] = deque()  # have ended a phase, or have lost their places to a smaller batch
    active: dict[int, Progress] = {}
    phase = 0  # of the images in the batch
    while True:
        while len(active) + len(waiting) < batch.size and (image := next(upcoming, None)) is not None:
            waiting.append(image)
        if not active and waiting and (first := min(image.phase for image in waiting)) != phase:
            batch.clear()  # before the next one, whose arrays have other shapes, takes its memory
            batch, phase = Batch(generator, lpips, batch.size, program=program, devices=devices), first
        fitting = [image for image in waiting if image.phase == phase]
        begun = dict(zip(sorted(set(range(batch.size)) - active.keys()), fitting, strict=False))
        for image in begun.values():
            waiting.remove(image)
        inside = {place: progress.image for place, progress in active.items()} | begun
        if not inside:
            return
        half = batch.size // 2 // count * count
        try:
            for place, image in begun.items():
                batch.put(place, *image.problem(generator, lpips))
            terms = batch.advance(chunk_steps(list(inside.values())))
        except jax.errors.JaxRuntimeError as error:
            if on_smaller is None or half == 0 or "RESOURCE_EXHAUSTED" not in str(error):
                raise
            on_smaller(batch.size, half)
            terms = None  # made smaller below: here the error still holds what the failed call held
        if terms is None:
            waiting.extendleft(reversed([*(progress.then() for progress in active.values()), *begun.values()]))
            active = {}
            batch.clear()
            batch = Batch(generator, lpips, half, program=program, devices=devices)
            continue
        before = {place: progress.losses for place, progress in active.items()}
        before |= {place: image.reached[1] for place, image in begun.items() if image.reached is not None}
        active = {place: _advanced(image, before.get(place), terms, batch, place) for place, image in inside.items()}
        yield Chunk(list(active.values()), batch)
        active = {place: p for place, p in active.items() if not p.is_done and p.error is None}
        waiting.extend(progress.then() for progress in active.values() if progress.ends_phase)
        active = {place: progress for place, progress in active.items() if not progress.ends_phase}


def _advanced(image: Image, before: Losses | None, terms: Losses, batch: Batch, place: int) -> Progress:
    """The progress of an image after a chunk, whose losses are those of the whole batch."""
    steps = 0 if before is None else len(before.total)
    own = image.own(jax.tree.map(lambda term: term[place], terms), steps)
    losses = own if before is None else jax.tree.map(lambda *parts: np.concatenate(parts), before, own)
    return Progress(image, losses, not_finite(own, steps), batch.states, place)


def not_finite(losses: Losses, first_step: int) -> FloatingPointError | None:
    """The error that tells of the first loss that is not a number, whose step is counted from `first_step`."""
    total = np.asarray(losses.total)
    if np.isfinite(total).all():
        return None
    row = int(np.argmin(np.isfinite(total)))
    return FloatingPointError(
        f"the loss is {total[row]} at step {first_step + row}; lower the learning rate, or check the input."
    )
