"""An image to invert, as the loop takes it: its problem, its first state, and when it ends."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jaxtyping import Float, PRNGKeyArray

from jaxgan import optimization
from jaxgan.degradations import Degradation
from jaxgan.generator import Generator
from jaxgan.loop import Image
from jaxgan.lpips import LPIPS
from jaxgan.methods import Method
from jaxgan.optimization import InversionState, LossTerms, Prior, Problem


@dataclasses.dataclass(frozen=True, eq=False)
class InversionImage(Image):
    """An image to invert, as `loop.run` takes it.

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
        """What `batch.Batch.put` takes.

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

    def own(self, chunk: LossTerms, steps: int) -> LossTerms:
        """Takes the losses of the steps up to the end of the phase."""
        end = self.method.first_step(self.phase + 1)
        return jax.tree.map(lambda term: term[: end - steps], chunk)

    def ends_with(self, losses: LossTerms) -> bool:
        """Whether it has had all its steps, or has converged (see `InversionConfig.patience`)."""
        steps, last = len(losses.total), self.method.last
        end = self.method.steps if last.stop_after is None else min(self.method.steps, last.stop_after)
        if steps >= end or last.patience is None or steps <= last.patience:
            return steps >= end
        return bool(losses.total.min() > 0.99 * losses.total[: -last.patience].min())

    def ends_phase_with(self, losses: LossTerms) -> bool:
        """Whether the next step, if there is one, belongs to another phase than the last one."""
        steps, method = len(losses.total), self.method
        return steps < method.steps and method.phase_after(steps) != method.phase_after(steps + 1)

    @property
    def _steps(self) -> int:
        return 0 if self.reached is None else len(self.reached[1].total)
