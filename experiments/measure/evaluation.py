"""Faces of known truth, degraded, restored by a method and measured."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.measure import classical, observation
from experiments.measure.face_sets import FaceSet
from experiments.runs import settings as run_settings
from jaxgan import inversion, metrics
from jaxgan.degradations import Degradation
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.lpips import LPIPS
from jaxgan.metrics import Whitening
from jaxgan.photos import identity
from jaxgan.tasks import default_degradation


def settings(method: str, of_task: InversionConfig) -> InversionConfig | None:
    """The settings of a method's loop; None for the classical method, which has no loop.

    Args:
      method: "jaxgan", "projector" or "classical".
      of_task: the settings of this project's loop.
    """
    return {"jaxgan": of_task, "projector": InversionConfig.reference(), "classical": None}[method]


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Networks and faces that all evaluations share.

    Attributes:
      generator, lpips, whitening: the networks and the distribution of w.
      faces: the truths.
      batch_size: images inverted at once.
    """

    generator: Generator
    lpips: LPIPS
    whitening: Whitening
    faces: FaceSet
    batch_size: int

    @classmethod
    def of(cls, generator: Generator, lpips: LPIPS, faces: FaceSet, *, batch_size: int) -> Evaluator:
        """Prepares evaluations."""
        return cls(generator, lpips, metrics.whitening(generator), faces, batch_size)

    def evaluate(
        self, task: str, method: str, settings: InversionConfig | None, seeds: Sequence[int]
    ) -> tuple[list[dict[str, Any]], dict[str, list[np.ndarray]]]:
        """Degrades, restores and measures all faces.

        Args:
          task: decides the degradation.
          method: its name, for the rows.
          settings: of its loop; None for the classical method, which is run once.
          seeds: of the loop; the first is that of the brush strokes, too.
        Returns:
          A row per face and seed, and per face the truth, the observed, the kept result and that degraded again.
        """
        names, resolution = self.faces.names, self.generator.config.resolution
        parts = [default_degradation(task, resolution, seed=seeds[0] + i) for i in range(len(names))]
        degradations = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
        truths = jnp.asarray(self.faces.faces)
        observed = observation.observe(degradations, truths)
        rows: list[dict[str, Any]] = []
        pictures: dict[str, list[np.ndarray]] = {}
        for seed in seeds if settings is not None else seeds[:1]:
            start = time.perf_counter()
            if settings is None:
                restored, ws = _classical(parts, observed), None
            else:
                restored, ws = self._inverted(seed, settings, degradations, observed)
            seconds = (time.perf_counter() - start) / len(restored)
            again = observation.degrade_all(degradations, restored)
            identities = metrics.identity_distances(identity.descriptor, truths, restored)
            for index, name in enumerate(names):
                row = {"task": task, "method": method, "image": name, "seed": seed, "kept": False}
                row |= {"steps": settings.steps if settings else 0, "seconds": round(seconds, 2)}
                measured = metrics.measure(
                    self.lpips,
                    truth=truths[index],
                    observed=observed[index],
                    reconstruction=restored[index],
                    degraded_again=again[index],
                )
                row |= metrics.columns(measured)
                row["identity"] = identities[index]
                row["realism"] = np.nan if ws is None else metrics.latent_distance(self.whitening, ws[index])
                rows.append(row)
                if _best(rows, name) is row:
                    pictures[name] = [np.asarray(x[index]) for x in (truths, observed, restored, again)]
        for name in names:
            _best(rows, name)["kept"] = True
        return rows, pictures

    def _inverted(self, seed: int, settings: InversionConfig, degradations: Degradation, observed: Array):
        """Restored images `[n, H, W, 3]` and their latents."""
        keys = jnp.stack([run_settings.key_for(seed, Path(name)) for name in self.faces.names])
        results = inversion.invert_batch(
            self.generator, self.lpips, observed, degradations, settings, keys, size=self.batch_size
        )
        return jnp.stack([result.image for result in results]), [result.ws for result in results]


def _classical(degradations: Sequence[Degradation], observed: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    pairs = zip(degradations, np.asarray(observed), strict=True)
    return jnp.stack([jnp.asarray(classical.restore(*pair)) for pair in pairs])


def _best(rows: list[dict[str, Any]], image: str) -> dict[str, Any]:
    """The row of an image whose result is nearest to the observation."""
    return min((row for row in rows if row["image"] == image), key=lambda row: row["lpips_observed"])
