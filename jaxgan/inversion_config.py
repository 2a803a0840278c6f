"""The constants of an inversion: numbers that are traced, a program that is compiled, and the host's own affairs."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int

from jaxgan import precision
from jaxgan.latents import LatentSpace
from jaxgan.objectives import OBJECTIVES, ObjectiveName
from jaxgan.precision import Precision


def is_count(value: object) -> bool:
    """Tells whether a value is a whole number, 1 or more."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 1


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
        """Step size of a step, counted from 0; zero at step 0 if it rises."""
        t = jnp.asarray(step) / self.steps
        falling = 0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum(1.0, _ratio(1.0 - t, self.rampdown)))
        return self.learning_rate * falling * jnp.minimum(1.0, _ratio(t, self.rampup))

    def jitter_at(self, step: Int[ArrayLike, "*n"], w_std: Float[Array, ""]) -> Float[Array, "*n"]:
        """Standard deviation of the noise on each component of w in a step."""
        t = jnp.asarray(step) / self.steps
        return w_std * self.jitter * jnp.maximum(0.0, 1.0 - t / self.jitter_ramp) ** 2


def _ratio(part: Float[ArrayLike, ...], whole: Float[ArrayLike, ...]) -> Float[Array, ...]:
    """Divides; the quotient is 1 where the whole is nothing, as a ramp of no length is over."""
    whole = jnp.asarray(whole)
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1.0), 1.0)


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Program:
    """The choices that an inversion is compiled for; the images of a batch agree in them. It is no leaf of a tree.

    Attributes: see `InversionConfig`.
    """

    latent_space: LatentSpace
    noise: Literal["optimized", "stored"]
    objective: ObjectiveName
    optimizer: Literal["adam", "normalized"]
    feature_size: int
    adam_b1: float
    adam_b2: float
    adam_eps: float
    precision: Precision


@dataclasses.dataclass(frozen=True)
class InversionConfig:
    """The constants of an optimisation, or of a phase of it. `t = step / steps` runs from 0 to 1.

    `numbers` are traced and `program` is compiled in; the other attributes are read by the host alone, before and
    between the compiled steps.

    Attributes:
      steps: number of optimisation steps.
      learning_rate: largest step size of the optimiser.
      rampup, rampdown: shares of the run in which the learning rate rises linearly, and falls along a cosine; 0 for a
        constant one.
      jitter: noise added to w, relative to its spread, falling quadratically to zero at `t = jitter_ramp`.
      jitter_ramp: see `jitter`.
      latent_space: "w" optimises one latent for all layers, "w_plus" one per layer, "w_plus_plus" one per input channel
        of every layer, which are many (see `latents.space_shape`).
      noise: "optimized" optimises noise maps, which begin at random, "stored" leaves the network's own in their place.
      objective: what is compared: "lpips", a "pyramid" of it, or a "half_pyramid", which begins at half the image's
        side (see `objectives`).
      optimizer: "adam", or "normalized" gradient descent, which gives every latent a step of `learning_rate`.
      latent_dist_reg_weight: weight of the mean squared distance of w from the mean latent.
      noise_reg_weight: weight of the noise regulariser.
      feature_size: larger images are averaged down to this size before the LPIPS distance.
      w_samples: latents that w_avg and w_std are estimated from.
      start_samples: images of the network that the first w is guessed from (see `start`); 0 begins at the mean latent.
      adam_b1, adam_b2, adam_eps: Adam's constants.
      keep: return the iterate of the lowest loss ("best") or the one after the last step ("last").
      patience: stop at the end of a chunk if so many steps lowered the lowest loss by less than 1 %; None: never.
      stop_after: stop at the end of the chunk in which so many steps are done, though the rates fall as if there were
        `steps` of them; None: never. It repeats a run that was ended early.
      precision: what the networks compute a step in (see `jaxgan.precision`); the result is rendered in float32.
    """

    steps: int = 500
    learning_rate: float = 0.1
    rampup: float = 0.05
    rampdown: float = 0.25
    jitter: float = 0.05
    jitter_ramp: float = 0.75
    latent_space: LatentSpace = "w"
    noise: Literal["optimized", "stored"] = "optimized"
    objective: ObjectiveName = "lpips"
    optimizer: Literal["adam", "normalized"] = "adam"
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
    stop_after: int | None = None
    precision: Precision = "float32"

    def __post_init__(self):
        choices = {
            "latent_space": get_args(LatentSpace),
            "noise": ("optimized", "stored"),
            "objective": tuple(OBJECTIVES),
            "optimizer": ("adam", "normalized"),
            "keep": ("best", "last"),
            "precision": precision.NAMES,
        }
        problems = [
            f"{name} must be one of {', '.join(names)}, got {getattr(self, name)!r}"
            for name, names in choices.items()
            if getattr(self, name) not in names
        ]
        for name in ("steps", "feature_size", "w_samples"):
            if not is_count(getattr(self, name)):
                problems.append(f"{name} must be a whole number, at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "jitter_ramp", "adam_eps"):
            if not 0 < getattr(self, name) < math.inf:
                problems.append(f"{name} must be positive and finite, got {getattr(self, name)}")
        for name in ("rampup", "rampdown", "jitter", "latent_dist_reg_weight", "noise_reg_weight", "start_samples"):
            if not 0 <= getattr(self, name) < math.inf:
                problems.append(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("patience", "stop_after"):
            if (value := getattr(self, name)) is not None and not is_count(value):
                problems.append(f"{name} must be a whole number, at least 1, got {value}")
        if self.noise == "optimized" and self.optimizer == "normalized":
            problems.append("the optimizer 'normalized' moves latents and no noise maps; it needs noise 'stored'")
        if self.noise == "stored" and self.noise_reg_weight > 0:
            problems.append("noise_reg_weight must be 0 with noise 'stored', which is not optimised")
        if problems:
            raise ValueError("InversionConfig: " + "; ".join(problems))

    @classmethod
    def for_task(
        cls, *tasks: Literal["invert", "inpaint", "deblur", "colorize", "upsample", "denoise", "dejpeg", "own"]
    ) -> InversionConfig:
        """This project's defaults for a task, or for several at once, of which the strongest prior holds.

        Without a task they are those of "invert".

        Noise and JPEG spoil the finest pixels, so they are compared from half the side on. A reduction together with
        one of them leaves so little that the prior must be stronger. experiments/STUDY.md has the measurements behind
        each number.
        """
        weights = {"invert": 0.0, "inpaint": 1.0, "deblur": 1.0, "colorize": 3.0}
        weights |= {"upsample": 1.0, "denoise": 1.0, "dejpeg": 1.0, "own": 1.0}
        spoils_details = bool({"denoise", "dejpeg"}.intersection(tasks))
        of_all = 10.0 if spoils_details and "upsample" in tasks else 0.0
        return cls(
            steps=150,
            latent_space="w_plus",
            jitter=0.0,
            objective="half_pyramid" if spoils_details else "lpips",
            start_samples=256,
            latent_dist_reg_weight=max([of_all, *(weights[task] for task in tasks)]),
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
