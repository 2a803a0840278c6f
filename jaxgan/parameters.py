"""Names the parameters of degradations that may be unknown, puts values in their places, and lists values to try."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np

from jaxgan.degradations import (
    JPEG,
    Compose,
    Degradation,
    Denoising,
    Dimming,
    GaussianBlur,
    MotionBlur,
    Pooling,
    ShotNoise,
    parts_of,
    without_draws,
)

Parameter = Literal["sigma", "length", "photons", "drop", "quality", "factor"]
"""The width of a Gaussian blur, the length of a motion, the photons of white, the share of dropped pixels, the quality
of a JPEG file, and how many times smaller a picture became."""

OF_PART: dict[type, tuple[Parameter, ...]] = {
    GaussianBlur: ("sigma",),
    MotionBlur: ("length",),
    Denoising: ("photons", "drop"),
    JPEG: ("quality",),
    Pooling: ("factor",),
}
"""The parameters that a kind of degradation has, or that its observation shows; drawn noise has those of its mean."""

VALUES = 16
"""The number of values that the grid of a sigma, a length or photons has."""

LEAST_SIGMA, LEAST_LENGTH = 0.3, 1.5
"""Pixels below which a blur hardly changes a picture."""

PHOTONS = (2.0, 512.0)
"""The fewest and the most photons that are looked for; more make less noise than rounding to 8 bits."""


def with_parameters(degradation: Degradation, values: Mapping[Parameter, Any]) -> Degradation:
    """Puts values in the places of parameters, in all parts of a degradation; parts without them stay as they are.

    Args:
      degradation: any degradation.
      values: the values by name, which may be traced, but for the quality, which is a whole number.
    """
    by_name = {str(name): value for name, value in values.items()}

    def number(name: str) -> Any:
        return jnp.asarray(by_name[name], jnp.int32 if name == "factor" else jnp.float32)

    def changed(part: Degradation) -> Degradation:
        match part:
            case Compose():
                return Compose(tuple(map(changed, part.parts)))
            case ShotNoise():
                own = {name: number(name) for name in ("photons", "drop") if name in values}
                return dataclasses.replace(part, mean=changed(part.mean), **own)
            case JPEG():
                factor = number("factor") if "factor" in values and _is_reduced(degradation) else part.factor
                if "quality" in values:
                    part = JPEG.of_quality(round(float(values["quality"])), subsampling=part.subsampling)
                return dataclasses.replace(part, factor=factor)
            case GaussianBlur() | MotionBlur() | Pooling() | Denoising() | Dimming():
                names = {field.name for field in dataclasses.fields(part)} & values.keys()
                return dataclasses.replace(part, **{name: number(name) for name in names})
        return part

    return changed(degradation)


def _is_reduced(degradation: Degradation) -> bool:
    return any(isinstance(part, Pooling) for part in parts_of(degradation))


def check(degradation: Degradation, unknown: Collection[Parameter]) -> None:
    """Raises ValueError if a degradation has no such parameter, or if there is none of that name."""
    known = {name for part in parts_of(without_draws(degradation)) for name in OF_PART.get(type(part), ())}
    if wrong := [name for name in unknown if name not in known]:
        raise ValueError(
            f"{', '.join(map(repr, wrong))}: the degradation has no such parameter. "
            f"It has {', '.join(sorted(known)) or 'none'}, of {', '.join(get_args(Parameter))}."
        )


def grid(degradation: Degradation, name: Parameter, size: int) -> np.ndarray:
    """Lists values to try of a parameter, rising.

    A blur's values end where its kernel does: a Gaussian at a third of its reach, a motion at its whole length.

    Args:
      degradation: the degradation that has the parameter.
      name: the parameter.
      size: height of the images.
    """
    if name == "factor":
        return 2 ** np.arange(1, max(2, int(math.log2(size)) - 2))  # 8 pixels are left, as `tasks.factor_at` wants
    if name == "quality":
        return np.arange(1, 101)
    if name == "photons":
        return np.geomspace(*PHOTONS, VALUES)
    if name == "drop":
        return np.linspace(0.01, 0.99, 99)
    kind, least = (GaussianBlur, LEAST_SIGMA) if name == "sigma" else (MotionBlur, LEAST_LENGTH)
    (blur,) = (part for part in parts_of(degradation) if isinstance(part, kind))
    reach = blur.kernel_size // 2
    most = reach / 3 if name == "sigma" else 2 * (reach - 1.5)
    return np.geomspace(min(least, most / 2), most, VALUES)


def guess(degradation: Degradation, names: Collection[Parameter], size: int) -> dict[Parameter, float]:
    """Takes the value in the middle of each grid, which stands in for a parameter as long as nothing is known of it."""
    grids = {name: grid(degradation, name, size) for name in names}
    return {name: float(values[len(values) // 2]) for name, values in grids.items()}


def widest_blur(size: int) -> GaussianBlur:
    """Makes a Gaussian blur whose sigma may be anything up to a sixteenth of the picture's side: all of them share its
    `2 ceil(3 sigma_max) + 1` taps."""
    widest = max(1.0, size / 16)
    return GaussianBlur(jnp.float32(widest / 4), 2 * math.ceil(3 * widest) + 1)


def longest_motion(size: int, angle: float) -> MotionBlur:
    """Makes a motion whose length may be anything up to a quarter of the picture's side."""
    return MotionBlur.of(max(2.0, size / 16), angle, longest=size / 4)
