"""Names the damages that are measured: those of the tasks, as their commands make them, and two harder ones."""

from __future__ import annotations

import jax.numpy as jnp

from experiments.options import DamageName, KnownTask
from jaxgan import masks
from jaxgan.degradations import GaussianBlur
from jaxgan.tasks import default_truth
from jaxgan.truths import Exactly, Hole, Truth

BOX = (0.28, 0.33, 0.72, 0.77)
"""A fifth of the picture, in its middle: left, top, right, bottom."""
SEVERE = (6.0, 37)
"""Standard deviation and taps of the severe blur at 128 pixels."""


def task_of(name: DamageName) -> KnownTask:
    """Returns the task that a damage belongs to."""
    harder: dict[DamageName, KnownTask] = {"box": "inpaint", "severe-blur": "deblur"}
    return harder.get(name, name)  # type: ignore[arg-type]


def truth(name: DamageName, resolution: int, *, seed: int) -> Truth | None:
    """Returns what happens to a face; None for "invert".

    Args:
      name: of the damage.
      resolution: of the face.
      seed: of brush strokes.
    """
    if name == "box":
        return Hole(masks.box(resolution, *BOX))
    if name == "severe-blur":
        return Exactly(blur(*SEVERE, resolution))
    return default_truth(name, resolution, seed=seed)


def blur(sigma: float, taps: int, resolution: int) -> GaussianBlur:
    """Returns a blur whose width and taps are given for 128 pixels, as wide in a picture of a resolution."""
    scale = resolution / 128
    return GaussianBlur(jnp.float32(sigma * scale), 2 * round((taps // 2) * scale) + 1)
