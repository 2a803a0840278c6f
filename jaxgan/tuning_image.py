"""An image that a network is tuned for, as the loop takes it: its problem, its first state, and when it ends."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from jaxgan import tuning_steps
from jaxgan.degradations import Degradation
from jaxgan.generator import Generator
from jaxgan.loop import Image
from jaxgan.lpips import LPIPS
from jaxgan.tuning_steps import Pivot, TuningConfig, TuningProblem, TuningState, TuningTerms


@dataclasses.dataclass(frozen=True, eq=False)
class TuningImage(Image):
    """An image to tune a network for, as `loop.run` takes it.

    Attributes:
      observed: what is known of it, in [-1, 1], at the generator's resolution.
      degradation: the operator assumed to have made it.
      pivot: the latents that the tuned network is to render it from.
      config: the constants of the tuning.
      key: the key of the random latents beside the pivot.
      reached: the state and the losses that an earlier run ended with; None to begin.
      name: whatever the caller knows it by.
    """

    observed: Float[Any, "h w 3"]
    degradation: Degradation
    pivot: Pivot
    config: TuningConfig
    key: PRNGKeyArray
    reached: tuple[TuningState, TuningTerms] | None = None
    name: Any = None

    def problem(self, generator: Generator, lpips: LPIPS) -> tuple[TuningProblem, PRNGKeyArray, TuningState]:
        """Makes the problem, the key and the state that `batch.Batch.put` takes."""
        target = tuning_steps.make_target(lpips, self.observed, self.degradation, size=self.config.feature_size)
        state = tuning_steps.initial_state(generator, self.config) if self.reached is None else self.reached[0]
        state = state._replace(is_done=jnp.bool_(False))  # another `stop_at` may have ended it before
        return TuningProblem(self.degradation, target, self.pivot, self.config), self.key, state

    def own(self, chunk: TuningTerms, steps: int) -> TuningTerms:
        """Takes the losses of the steps up to that which found the image near enough, or to the last."""
        is_near = np.asarray(chunk.perceptual) <= self.config.stop_at
        near = int(np.argmax(is_near)) + 1 if is_near.any() else len(is_near)
        return jax.tree.map(lambda term: term[: min(near, self.config.steps - steps)], chunk)

    def ends_with(self, losses: TuningTerms) -> bool:
        """Whether the image is as near as was asked for, or has had all its steps."""
        steps = len(losses.total)
        return steps >= self.config.steps or (steps > 0 and bool(losses.perceptual[-1] <= self.config.stop_at))
