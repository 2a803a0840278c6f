"""Describes methods of inversion as data: a row of phases, each of which goes on with the result before it."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float

from jaxgan.inversion_config import InversionConfig

SMALLEST_PYRAMID = 64
"""The pyramid of a small picture begins at this size at least, as LPIPS says little of fewer pixels."""
SPACES = ("w", "w_plus", "w_plus_plus")  # each holds the ones before it


@dataclasses.dataclass(frozen=True)
class Method:
    """The phases of an inversion, first to last.

    Between two phases the latents are repeated into the space of the next, and its optimiser begins anew.

    Attributes:
      phases: the constants of each phase. `start_samples` of the first says where to begin. `keep` of each says which
        iterate it hands over, and that of the last which iterate is returned.
    """

    phases: tuple[InversionConfig, ...]

    def __post_init__(self):
        problems = []
        if not self.phases:
            problems.append("there must be a phase")
        for name in ("w_samples", "noise", "precision"):
            if len({getattr(phase, name) for phase in self.phases}) > 1:
                problems.append(f"all phases must have the same {name}")
        if any(phase.start_samples for phase in self.phases[1:]):
            problems.append("start_samples belongs to the first phase")
        spaces = [SPACES.index(phase.latent_space) for phase in self.phases]
        if any(later < earlier for earlier, later in pairwise(spaces)):
            problems.append("a phase must not have a smaller latent_space than the one before it")
        for name in ("patience", "stop_after"):
            if len(self.phases) > 1 and any(getattr(phase, name) is not None for phase in self.phases):
                problems.append(f"{name} belongs to methods of one phase")
        if problems:
            raise ValueError("Method: " + "; ".join(problems))

    @classmethod
    def of(cls, config: InversionConfig | Method) -> Method:
        """Makes a method of one phase from a config, and returns a method as it is."""
        return config if isinstance(config, Method) else cls((config,))

    @classmethod
    def robust(cls, steps: int = 450, *, feature_size: int = 1 << 16) -> Method:
        """Extends the latents from W by way of W+ to W++ in steps of constant length, with the stored noise maps.

        Args:
          steps: the number of steps of all three phases, which share them evenly.
          feature_size: the size that larger images are averaged down to before they are compared. The default
            compares the full image.
        Raises:
          ValueError: there is not a step for each phase.
        References:
          Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, arXiv 2302.06733.
        """
        spaces: dict[Literal["w", "w_plus", "w_plus_plus"], float] = {"w": 0.08, "w_plus": 0.02, "w_plus_plus": 0.005}
        return cls(
            tuple(
                InversionConfig(
                    steps=(steps + 2 - index) // 3,
                    learning_rate=length,
                    rampup=0.0,
                    rampdown=0.0,
                    jitter=0.0,
                    latent_space=space,
                    noise="stored",
                    noise_reg_weight=0.0,
                    objective="pyramid",
                    optimizer="normalized",
                    feature_size=feature_size,
                    keep="last",
                )
                for index, (space, length) in enumerate(spaces.items())
            )
        )

    def compared_at(self, side: int) -> Method:
        """Returns the method for an observation that is an enlarged picture of a smaller size.

        Args:
          side: the side of that picture in pixels. Pyramids begin there, but at no less than `SMALLEST_PYRAMID`.
        """
        size = max(side, SMALLEST_PYRAMID)
        return Method(
            tuple(
                dataclasses.replace(phase, feature_size=min(phase.feature_size, size))
                if phase.objective != "lpips"
                else phase
                for phase in self.phases
            )
        )

    @property
    def first(self) -> InversionConfig:
        """The first phase."""
        return self.phases[0]

    @property
    def last(self) -> InversionConfig:
        """The last phase."""
        return self.phases[-1]

    @property
    def steps(self) -> int:
        """The number of steps of all phases together."""
        return sum(phase.steps for phase in self.phases)

    def first_step(self, phase: int) -> int:
        """Returns the step, counted from 0 over all phases, that a phase begins with."""
        return sum(one.steps for one in self.phases[:phase])

    def phase_after(self, steps: int) -> int:
        """Returns the phase that the last of so many steps belongs to; after no step that is the first phase."""
        return sum(steps > self.first_step(phase) for phase in range(1, len(self.phases)))

    def per_step(self, name: str) -> Float[np.ndarray, " steps"]:
        """Returns a number of the phases, such as "noise_reg_weight", for every step."""
        values = [getattr(phase, name) for phase in self.phases]
        return np.repeat(np.asarray(values, np.float64), [phase.steps for phase in self.phases])
