"""Names the tasks of this project, and makes the damage and the degradation that each of them undoes by default.

References:
  Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, Table 1, arXiv 2302.06733 (levels).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan import masks, truths
from jaxgan.degradations import Degradation, GaussianBlur, Grayscale
from jaxgan.truths import Compression, Exactly, Hole, PoissonNoise, Reduction, Truth

Task = Literal["invert", "inpaint", "deblur", "colorize", "upsample", "denoise", "dejpeg"]

ORDER: tuple[Task, ...] = ("deblur", "colorize", "upsample", "denoise", "dejpeg", "inpaint")
"""Damages happen in this order: optics, film, sensor, file, scratches. Those after a reduction meet a small picture."""


class Level(NamedTuple):
    """How strong each damage is.

    Attributes:
      factor: of "upsample", if the picture is large enough for it (see `factor_at`).
      strokes: of "inpaint", see `masks.lines`.
      photons, drop: of "denoise".
      quality: of "dejpeg".
    """

    factor: int
    strokes: int
    photons: float
    drop: float
    quality: int


LEVELS = {
    "XS": Level(2, 1, 96.0, 0.04, 18),
    "S": Level(4, 5, 48.0, 0.08, 15),
    "M": Level(8, 9, 24.0, 0.16, 12),
    "L": Level(16, 13, 12.0, 0.32, 9),
    "XL": Level(32, 17, 6.0, 0.64, 6),
}
"""The paper's levels; M is the default of this project's tasks but for "inpaint", whose holes are brush strokes."""


def factor_at(resolution: int, factor: int = LEVELS["M"].factor) -> int:
    """The factor itself, or the largest that leaves 8 pixels."""
    return min(factor, max(1, resolution // 8))


def default_truth(task: Task, resolution: int, *, seed: int = 0) -> Truth | None:
    """A task's damage with its default parameters; None for "invert".

    Args:
      task: what the observed image lacks.
      resolution: height and width of the image.
      seed: of the brush strokes that "inpaint" misses.
    """
    level = LEVELS["M"]
    if task == "inpaint":
        return Hole(masks.strokes(seed, resolution))
    others: dict[str, Truth | None] = {
        "invert": None,
        "colorize": Exactly(Grayscale()),
        "deblur": Exactly(GaussianBlur.for_resolution(resolution)),
        "upsample": Reduction(factor_at(resolution)),
        "denoise": PoissonNoise(level.photons, level.drop),
        "dejpeg": Compression(level.quality),
    }
    return others[task]


def default_degradation(
    task: Task, resolution: int, *, seed: int = 0, observed: Float[Array, "h w 3"] | None = None
) -> Degradation:
    """A task's degradation with its default parameters; `InversionConfig.for_task` has the optimiser's.

    Args:
      task: what the observed image lacks; "invert": nothing.
      resolution: height and width of the image.
      seed: of the brush strokes that "inpaint" misses.
      observed: the observed image, in [-1, 1]; "denoise" needs it, for its black pixels are the missing ones.
    Raises:
      ValueError: "denoise" without an observation.
    """
    truth = default_truth(task, resolution, seed=seed)
    if task == "denoise" and observed is None:
        raise ValueError('"denoise" needs `observed`: its black pixels are the missing ones.')
    blank = jnp.zeros((resolution, resolution, 3)) if observed is None else observed
    return truths.assumed([] if truth is None else [truth], blank)
