"""Measures the spectra of a network's errors, by which its restorations go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cli import say
from experiments.measure import observation
from experiments.measure.damages import BOX
from experiments.measure.evaluation import Evaluator
from jaxgan import masks, stored_spectra
from jaxgan.degradations import Degradation, GaussianBlur, Mask
from jaxgan.methods import Method
from jaxgan.stored_spectra import Library, Source

SIGMAS = (0.625 / 128, 1.25 / 128, 6 / 128)
"""Widths of blurs in widths of the picture; between them spectra are interpolated."""


def write(path: Path, evaluator: Evaluator, settings_of: Callable[[str], Method], *, method: str, seed: int) -> None:
    """Measures the spectra of deblurring and of inpainting, and writes them.

    Args:
      path: JSON file, as `stored_spectra.load` reads it.
      evaluator: networks, and faces that neither network has seen nor anything is reported on.
      settings_of: the settings of a task's loop.
      method: the name of that loop, under which they are stored.
      seed: of the loop.
    """
    size = evaluator.generator.config.resolution
    blurs = {sigma: GaussianBlur(jnp.float32(sigma * size), 2 * round(3 * sigma * size) + 1) for sigma in SIGMAS}
    damages: dict[str, dict[float, Degradation]] = {
        "deblur": dict(blurs),
        "inpaint": {1.0: Mask(jnp.asarray(masks.box(size, *BOX)))},
    }
    truths = jnp.asarray(evaluator.faces.faces)
    source = evaluator.generator.config.source_sha256
    families = {}
    for task, degradations in damages.items():
        pairs = {}
        for strength, degradation in degradations.items():
            say(f"{task}, strength {strength:.4g}: {len(truths)} faces")
            stacked = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(truths)), degradation)
            observed = observation.observe(stacked, truths)
            results = evaluator.invert(seed, settings_of(task), stacked, observed)
            pairs[strength] = (np.asarray(truths), np.stack([result.image for result in results]))
        families[Source(source, task, method)] = stored_spectra.measure_family(pairs)
    stored_spectra.save(path, Library((source, method), families))
    say(f"{path}: spectra of {', '.join(damages)} on {len(truths)} faces.")
