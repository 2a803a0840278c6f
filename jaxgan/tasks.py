"""Names the tasks of this project, and makes the degradation that each of them undoes by default."""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp

from jaxgan import masks
from jaxgan.degradations import Degradation, GaussianBlur, Grayscale, Identity, Mask

Task = Literal["invert", "inpaint", "deblur", "colorize"]


def default_degradation(task: Task, resolution: int, *, seed: int = 0) -> Degradation:
    """Makes a task's degradation with its default parameters; `InversionConfig.for_task` has those of the optimiser.

    Args:
      task: the name of the task; "invert" degrades nothing.
      resolution: height and width of the image in pixels.
      seed: decides where the brush strokes lie that hide pixels in "inpaint".
    Returns:
      The degradation.
    """
    if task == "inpaint":
        return Mask(jnp.asarray(masks.strokes(seed, resolution)))
    others: dict[str, Degradation] = {
        "invert": Identity(),
        "colorize": Grayscale(),
        "deblur": GaussianBlur.for_resolution(resolution),
    }
    return others[task]
