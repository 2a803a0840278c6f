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
from jaxtyping import Array, Float, Key

from experiments.measure import classical, damages, observation
from experiments.measure.face_sets import FaceSet
from experiments.options import DamageName, LoopOptions, Task
from experiments.runs import settings as run_settings
from jaxgan import inversion, linear_inverse, metrics, restoration, truths, tuning
from jaxgan.degradations import Degradation
from jaxgan.generator import Generator
from jaxgan.inversion import InversionResult
from jaxgan.lpips import LPIPS
from jaxgan.methods import Method
from jaxgan.metrics import Whitening
from jaxgan.photos import identity
from jaxgan.truths import Truth
from jaxgan.tuning import Pivot, TuningConfig, TuningResult


def settings(method: str, loop: LoopOptions, *tasks: Task) -> Method | None:
    """The settings of a method's loop; None for the classical method, which has no loop.

    Args:
      method: "default", "tuned", "projector", "robust" or "classical".
      loop: how the default method, which "tuned" begins with, optimises; its steps and precision are those of "robust",
        too, and the projector is the published one.
      tasks: for which the method is, all at once.
    """
    if method == "classical":
        return None
    if method in ("default", "tuned"):
        return loop.method("default", *tasks)
    return (
        loop.of_all_methods().method("robust", *tasks)
        if method == "robust"
        else LoopOptions().method("projector", *tasks)
    )


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Networks and faces that all evaluations share.

    Attributes:
      generator, lpips, whitening: the networks and the distribution of w.
      faces: the truths.
      batch_size: images inverted at once.
      fidelity: of the restorations, see `restoration.restore`.
    """

    generator: Generator
    lpips: LPIPS
    whitening: Whitening
    faces: FaceSet
    batch_size: int
    fidelity: float

    @classmethod
    def of(
        cls, generator: Generator, lpips: LPIPS, faces: FaceSet, *, batch_size: int, fidelity: float = 0.0
    ) -> Evaluator:
        """Prepares evaluations."""
        return cls(generator, lpips, metrics.whitening(generator), faces, batch_size, fidelity)

    def evaluate(
        self,
        name: DamageName,
        method: str,
        settings: Method | None,
        seeds: Sequence[int],
        tuned: TuningConfig | None = None,
    ) -> tuple[list[dict[str, Any]], dict[tuple[str, str], list[np.ndarray]]]:
        """Degrades, restores and measures all faces.

        Args:
          name: of the damage.
          method: its name, for the rows.
          settings: of its loop; None for the classical method, which is run once.
          seeds: of the loop; the first is that of the brush strokes, too.
          tuned: how the network is tuned after the loop; None for not at all.
        Returns:
          A row per face, seed and result, and for each face and result the truth, the observed, the kept result and
          that degraded again.
        """
        resolution = self.generator.config.resolution
        damage_seeds = [seeds[0] + index for index in range(len(self.faces.names))]
        happened = [damages.truth(name, resolution, seed=seed) for seed in damage_seeds]
        chains = [[] if truth is None else [truth] for truth in happened]
        return self.evaluate_damage(name, method, settings, seeds, chains, damage_seeds, tuned)

    def evaluate_damage(
        self,
        task: str,
        method: str,
        settings: Method | None,
        seeds: Sequence[int],
        chains: Sequence[Sequence[Truth]],
        damage_seeds: Sequence[int],
        tuned: TuningConfig | None = None,
    ) -> tuple[list[dict[str, Any]], dict[tuple[str, str], list[np.ndarray]]]:
        """Damages, restores and measures all faces, as `evaluate`.

        Args:
          task, method: names for the rows.
          settings, seeds, tuned: as for `evaluate`.
          chains: what happens to each face, the same kinds for all of them.
          damage_seeds: of what happens.
        """
        names = self.faces.names
        true_faces = jnp.asarray(self.faces.faces)
        observed, parts = observation.damage(chains, self.faces.faces, damage_seeds)
        degradations = observation.stack(parts)
        believed = degradations
        if method == "robust":
            drawing = [truths.assumed(chain, seen, draws=True) for chain, seen in zip(chains, observed, strict=True)]
            believed = observation.stack(drawing)
            settings = settings.compared_at(truths.side_after(chains[0], len(true_faces[0])))
        rows: list[dict[str, Any]] = []
        pictures: dict[tuple[str, str], list[np.ndarray]] = {}
        for seed in seeds if settings is not None else seeds[:1]:
            start = time.perf_counter()
            if settings is None:
                results, ws = {"classical": _classical(parts, observed)}, None
            else:
                inverted = self.invert(seed, settings, believed, observed)
                made = inverted if tuned is None else self._tuned(seed, tuned, degradations, observed, inverted)
                results = {"reconstruction": jnp.stack([result.image for result in made])}
                ws = [result.ws for result in inverted]
                if any(chains):
                    results["restoration"] = self._restored(method, parts, observed, results["reconstruction"])
            seconds = (time.perf_counter() - start) / len(names)
            for result, images in results.items():
                again = observation.degrade_all(degradations, images)
                identities = metrics.identity_distances(identity.descriptor, true_faces, images)
                for index, name in enumerate(names):
                    row = {"task": task, "method": method, "result": result, "image": name, "seed": seed, "kept": False}
                    row |= {"steps": settings.steps if settings else 0, "seconds": round(seconds, 2)}
                    measured = metrics.measure(
                        self.lpips,
                        truth=true_faces[index],
                        observed=observed[index],
                        reconstruction=images[index],
                        degraded_again=again[index],
                    )
                    row |= metrics.columns(measured)
                    row["identity"] = identities[index]
                    row["realism"] = np.nan if ws is None else metrics.latent_distance(self.whitening, ws[index])
                    rows.append(row)
                    if _best(rows, name, result) is row:
                        pictures[name, result] = [np.asarray(x[index]) for x in (true_faces, observed, images, again)]
        for name, result in pictures:
            _best(rows, name, result)["kept"] = True
        return rows, pictures

    def invert(
        self, seed: int, settings: Method, degradations: Degradation, observed: Float[Array, "n h w 3"]
    ) -> list[InversionResult]:
        """Inverts all faces.

        Args:
          seed: of the first noise maps; the name of a face goes in, too.
          settings: of the loop.
          degradations: assumed, one pytree with a leading axis.
          observed: of the faces.
        """
        return inversion.invert_batch(
            self.generator, self.lpips, observed, degradations, settings, self._keys(seed), size=self.batch_size
        )

    def _keys(self, seed: int) -> Key[Array, " n"]:
        return jnp.stack([run_settings.key_for(seed, Path(name)) for name in self.faces.names])

    def _tuned(
        self,
        seed: int,
        config: TuningConfig,
        degradations: Degradation,
        observed: Float[Array, "n h w 3"],
        inverted: Sequence[InversionResult],
    ) -> list[TuningResult]:
        """Tunes a copy of the network for each face."""
        pivots = [Pivot(result.ws, result.noise) for result in inverted]
        arguments = (self.generator, self.lpips, observed, degradations, pivots, config, self._keys(seed))
        return tuning.tune_batch(*arguments, size=tuning.at_once(jax.devices()[:1], self.batch_size))

    def _restored(
        self,
        method: str,
        degradations: Sequence[Degradation],
        observed: Float[Array, "n h w 3"],
        images: Float[Array, "n h w 3"],
    ) -> Float[Array, "n h w 3"]:
        network = self.generator.config.source_sha256
        restored = []
        for known, degradation, image in zip(np.asarray(observed), degradations, np.clip(images, -1, 1), strict=True):
            spectrum = linear_inverse.default_spectrum(degradation, image.shape, network=network, method=method)
            restored.append(restoration.restore(known, degradation, image, spectrum=spectrum, fidelity=self.fidelity))
        return jnp.stack([jnp.asarray(image) for image in restored])


def _classical(degradations: Sequence[Degradation], observed: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    pairs = zip(degradations, np.asarray(observed), strict=True)
    return jnp.stack([jnp.asarray(classical.restore(*pair)) for pair in pairs])


def _best(rows: list[dict[str, Any]], image: str, result: str) -> dict[str, Any]:
    """The row of an image whose result is nearest to the observation."""
    chosen = [row for row in rows if (row["image"], row["result"]) == (image, result)]
    return min(chosen, key=lambda row: row["lpips_observed"])
