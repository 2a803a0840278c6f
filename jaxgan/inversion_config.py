"""The constants of an inversion: numbers that are traced, a program that is compiled, and the host's own affairs."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from jaxgan import precision
from jaxgan.precision import Precision


class Numbers(NamedTuple):
    """The numbers of an inversion that are not compiled in, as float32; images of a batch may differ in them.

    Attributes: see `InversionConfig`.
    """

    steps: Float[Array, "*n"]
    learning_rate: Float[Array, "*n"]
    rampup: Float[Array, "*n"]
    rampdown: Float[Array, "*n"]
    jitter: Float[Array, "*n"]
    jitter_ramp: Float[Array, "*n"]
    latent_dist_reg_weight: Float[Array, "*n"]
    noise_reg_weight: Float[Array, "*n"]

    def learning_rate_at(self, step: Int[ArrayLike, "*n"]) -> Float[Array, "*n"]:
        """Step size of a step, counted from 0; zero at step 0."""
        t = jnp.asarray(step) / self.steps
        falling = 0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum(1.0, (1.0 - t) / self.rampdown))
        return self.learning_rate * falling * jnp.minimum(1.0, t / self.rampup)

    def jitter_at(self, step: Int[ArrayLike, "*n"], w_std: Float[Array, ""]) -> Float[Array, "*n"]:
        """Standard deviation of the noise on each component of w in a step."""
        t = jnp.asarray(step) / self.steps
        return w_std * self.jitter * jnp.maximum(0.0, 1.0 - t / self.jitter_ramp) ** 2


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Program:
    """The choices that an inversion is compiled for; the images of a batch agree in them. It is no leaf of a tree.

    Attributes: see `InversionConfig`.
    """

    latent_space: Literal["w", "w_plus"]
    feature_size: int
    adam_b1: float
    adam_b2: float
    adam_eps: float
    precision: Precision


@dataclasses.dataclass(frozen=True)
class InversionConfig:
    """The constants of an optimisation. `t = step / steps` runs from 0 to 1.

    `numbers` are traced and `program` is compiled in; the other attributes are read by the host alone, before and
    between the compiled steps.

    Attributes:
      steps: number of optimisation steps.
      learning_rate: Adam's largest step size.
      rampup, rampdown: shares of the run in which the learning rate rises linearly, and falls along a cosine.
      jitter: noise added to w, relative to its spread, falling quadratically to zero at `t = jitter_ramp`.
      jitter_ramp: see `jitter`.
      latent_space: "w" optimises one latent for all layers, "w_plus" one per layer.
      latent_dist_reg_weight: weight of the mean squared distance of w from the mean latent.
      noise_reg_weight: weight of the noise regulariser.
      feature_size: larger images are averaged down to this size before the LPIPS distance.
      w_samples: latents that w_avg and w_std are estimated from.
      start_samples: images of the network that the first w is guessed from (see `start`); 0 begins at the mean latent.
      adam_b1, adam_b2, adam_eps: Adam's constants.
      keep: return the iterate of the lowest loss ("best") or the one after the last step ("last").
      patience: stop at the end of a chunk if so many steps lowered the lowest loss by less than 1 %; None: never.
      precision: what the networks compute a step in (see `jaxgan.precision`); the result is rendered in float32.
    """

    steps: int = 500
    learning_rate: float = 0.1
    rampup: float = 0.05
    rampdown: float = 0.25
    jitter: float = 0.05
    jitter_ramp: float = 0.75
    latent_space: Literal["w", "w_plus"] = "w"
    latent_dist_reg_weight: float = 0.0
    noise_reg_weight: float = 1e5
    feature_size: int = 256
    w_samples: int = 10_000
    start_samples: int = 0
    adam_b1: float = 0.9
    adam_b2: float = 0.999
    adam_eps: float = 1e-8
    keep: Literal["best", "last"] = "best"
    patience: int | None = None
    precision: Precision = "float32"

    def __post_init__(self):
        problems = []
        if self.latent_space not in ("w", "w_plus"):
            problems.append(f"latent_space must be 'w' or 'w_plus', got {self.latent_space!r}")
        if self.keep not in ("best", "last"):
            problems.append(f"keep must be 'best' or 'last', got {self.keep!r}")
        if self.precision not in precision.NAMES:
            problems.append(f"precision must be one of {', '.join(precision.NAMES)}, got {self.precision!r}")
        for name in ("steps", "feature_size", "w_samples"):
            if getattr(self, name) < 1:
                problems.append(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "jitter_ramp", "rampup", "rampdown", "adam_eps"):
            if not 0 < getattr(self, name) < math.inf:
                problems.append(f"{name} must be positive and finite, got {getattr(self, name)}")
        for name in ("jitter", "latent_dist_reg_weight", "noise_reg_weight", "start_samples"):
            if not 0 <= getattr(self, name) < math.inf:
                problems.append(f"{name} must not be negative, got {getattr(self, name)}")
        if self.patience is not None and self.patience < 1:
            problems.append(f"patience must be at least 1, got {self.patience}")
        if problems:
            raise ValueError("InversionConfig: " + "; ".join(problems))

    @classmethod
    def for_task(
        cls, task: Literal["invert", "inpaint", "deblur", "colorize", "upsample", "denoise", "dejpeg", "own"]
    ) -> InversionConfig:
        """This project's defaults for a task; experiments/STUDY.md has the measurements behind each number."""
        weights = {"invert": 0.0, "inpaint": 1.0, "deblur": 1.0, "colorize": 3.0}
        weights |= {"upsample": 1.0, "denoise": 1.0, "dejpeg": 1.0, "own": 1.0}
        return cls(
            steps=150,
            latent_space="w_plus",
            jitter=0.0,
            start_samples=256,
            latent_dist_reg_weight=weights[task],
        )

    @classmethod
    def reference(cls, steps: int = 1000) -> InversionConfig:
        """The projector published with StyleGAN2."""
        return cls(steps=steps, keep="last")

    def numbers(self) -> Numbers:
        """The part that a compiled inversion takes any values of."""
        return Numbers._make(np.float32(getattr(self, name)) for name in Numbers._fields)

    def program(self) -> Program:
        """The part that an inversion is compiled for."""
        return Program(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Program)})
