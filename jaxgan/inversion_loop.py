"""The loop of every inversion: puts images into a batch, advances them, checks them and takes out those that ended.

A batch holds images of one phase of their method. An image that ends a phase waits until no other is in that phase; so
images that began together go on together.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from jaxgan import optimization
from jaxgan.batch import Batch
from jaxgan.degradations import Degradation
from jaxgan.generator import Generator
from jaxgan.lpips import LPIPS
from jaxgan.methods import Method
from jaxgan.optimization import InversionState, LossTerms, Prior, Problem


@dataclasses.dataclass(frozen=True, eq=False)
class Image:
    """An image to invert.

    Attributes:
      observed: what is known of it, in [-1, 1], at the generator's resolution.
      degradation: the operator assumed to have made it.
      method: constants of its inversion.
      key: of its randomness.
      prior: what is known of the network's latents.
      reached: state and losses that an earlier run ended with; None to begin.
      name: whatever the caller knows it by.
      offset: added to the first w (see `uncertainty.spread_starts`); None for nothing.
    """

    observed: Float[Any, "h w 3"]
    degradation: Degradation
    method: Method
    key: PRNGKeyArray
    prior: Prior
    reached: tuple[InversionState, LossTerms] | None = None
    name: Any = None
    offset: Float[Any, " w_dim"] | None = None

    @property
    def phase(self) -> int:
        """The phase that its next step belongs to."""
        return self.method.phase_after(self._steps + 1)

    def problem(
        self, generator: Generator, lpips: LPIPS, *, phase: int | None = None
    ) -> tuple[Problem, PRNGKeyArray, InversionState]:
        """What `Batch.put` takes.

        Args:
          generator, lpips: the networks.
          phase: the phase to begin, as if the iterate had ended all phases before it; None for that of the next step.
        """
        phases, wanted = self.method.phases, self.phase if phase is None else phase
        problem = optimization.make_problem(
            generator,
            lpips,
            self.observed,
            self.degradation,
            phases[wanted],
            prior=self.prior,
            first_step=self.method.first_step(wanted),
        )
        if self.reached is not None:
            state, reached = self.reached[0], self.method.phase_after(self._steps)
        else:
            first = problem.start if self.offset is None else problem.start + self.offset
            state, reached = optimization.initial_state(generator, first, phases[0], self.key), 0
        for ended, begun in zip(phases[reached:wanted], phases[reached + 1 : wanted + 1], strict=True):
            state = optimization.next_phase(generator, ended, state, begun)
        return problem, self.key, state

    @property
    def is_done(self) -> bool:
        """Whether an earlier run left nothing to do."""
        return self.reached is not None and is_done(self.method, self.reached[1])

    @property
    def _steps(self) -> int:
        return 0 if self.reached is None else len(self.reached[1].total)


@dataclasses.dataclass(frozen=True, eq=False)
class Progress:
    """The progress of an image. It never changes, so its state and its losses belong together for ever.

    Attributes:
      image: the image.
      losses: of all its steps so far, each `[steps]`, on the host.
      error: tells of a loss that is not finite, where the inversion ended; None if there is none.
    """

    image: Image
    losses: LossTerms
    error: FloatingPointError | None
    _states: InversionState  # of the whole batch
    _place: int

    @property
    def state(self) -> InversionState:
        """The state after those steps, on the host."""
        return jax.tree.map(lambda leaf: np.asarray(leaf[self._place]), self._states)

    @property
    def steps(self) -> int:
        """The number of steps done."""
        return len(self.losses.total)

    @property
    def is_done(self) -> bool:
        """Whether it has had all its steps, or has converged."""
        return is_done(self.image.method, self.losses)

    @property
    def ends_phase(self) -> bool:
        """Whether the next step, if there is one, belongs to another phase than the last one."""
        method = self.image.method
        return self.steps < method.steps and method.phase_after(self.steps) != method.phase_after(self.steps + 1)

    def then(self) -> Image:
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
        """The image that each of them is now; ask before the next chunk."""
        pictures = self.batch.render()
        return [pictures[progress._place] for progress in self.progresses]


def run(
    generator: Generator,
    lpips: LPIPS,
    images: Iterable[Image],
    *,
    size: int,
    chunk_steps: Callable[[list[Image]], int],
    devices: Sequence[jax.Device] | None = None,
    on_smaller: Callable[[int, int], None] | None = None,
) -> Iterator[Chunk]:
    """Inverts images, and yields after every chunk of steps how far those in the batch have come.

    An image is in all chunks to that in which it is done or fails; then the next one takes its place. Whoever stops
    asking stops the loop, and holds in the last chunk all that was reached.

    Args:
      generator, lpips: the networks.
      images: taken one by one as places get free; none of them is done already.
      size: places of the batch.
      chunk_steps: length of the next chunk, from the images that take part in it.
      devices: that share the batch; default: the first one.
      on_smaller: told that a batch of the first number of places did not fit into memory and that the loop goes on with
        the second, half of it; None: the error is raised.
    """
    batch = Batch(generator, lpips, size, devices=devices)
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
            batch, phase = Batch(generator, lpips, batch.size, devices=devices), first
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
            batch = Batch(generator, lpips, half, devices=devices)
            continue
        before = {place: progress.losses for place, progress in active.items()}
        before |= {place: image.reached[1] for place, image in begun.items() if image.reached is not None}
        active = {place: _advanced(image, before.get(place), terms, batch, place) for place, image in inside.items()}
        yield Chunk(list(active.values()), batch)
        active = {place: p for place, p in active.items() if not p.is_done and p.error is None}
        waiting.extend(progress.then() for progress in active.values() if progress.ends_phase)
        active = {place: progress for place, progress in active.items() if not progress.ends_phase}


def _advanced(image: Image, before: LossTerms | None, terms: LossTerms, batch: Batch, place: int) -> Progress:
    """The progress of an image after a chunk, whose losses are those of the whole batch."""
    steps = 0 if before is None else len(before.total)
    end = image.method.first_step(image.phase + 1)
    own = jax.tree.map(lambda term: term[place, : end - steps], terms)
    losses = own if before is None else jax.tree.map(lambda *parts: np.concatenate(parts), before, own)
    return Progress(image, losses, not_finite(own, steps), batch.states, place)


def is_done(method: Method, losses: LossTerms) -> bool:
    """Whether an image of these losses has had all its steps, or has converged (see `InversionConfig.patience`)."""
    steps, patience = len(losses.total), method.last.patience
    last = method.steps if method.last.stop_after is None else min(method.steps, method.last.stop_after)
    if steps >= last or patience is None or steps <= patience:
        return steps >= last
    return bool(losses.total.min() > 0.99 * losses.total[:-patience].min())


def not_finite(losses: LossTerms, first_step: int) -> FloatingPointError | None:
    """The error that tells of the first loss that is not a number, whose step is counted from `first_step`."""
    total = np.asarray(losses.total)
    if np.isfinite(total).all():
        return None
    row = int(np.argmin(np.isfinite(total)))
    return FloatingPointError(
        f"the loss is {total[row]} at step {first_step + row}; lower the learning rate, or check the input."
    )
