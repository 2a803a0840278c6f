"""The four tasks of this project: what is observed of an image in each, unless one asks for something else."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp

from jaxgan import masks
from jaxgan.degradations import Degradation, GaussianBlur, Grayscale, Identity, Mask

Task = Literal["invert", "inpaint", "deblur", "colorize"]


def default_degradation(task: Task, resolution: int, *, seed: int = 0) -> Degradation:
    """A task's degradation with its default parameters; `InversionConfig.for_task` has the optimiser's.

    Args:
      task: what the observed image lacks; "invert": nothing.
      resolution: height and width of the image.
      seed: of the brush strokes that "inpaint" misses.
    """
    if task == "inpaint":
        return Mask(jnp.asarray(masks.strokes(seed, resolution)))
    others: dict[str, Degradation] = {
        "invert": Identity(),
        "colorize": Grayscale(),
        "deblur": GaussianBlur.for_resolution(resolution),
    }
    return others[task]
