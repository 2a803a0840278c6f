"""What the studies share: faces, networks, and many inversions that differ in one thing, run as one batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.measure import observation
from experiments.measure.face_sets import FaceSet
from experiments.runs import settings as run_settings
from experiments.studies.kept import Kept, Row
from jaxgan import images, inversion, metrics
from jaxgan.degradations import Degradation
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.lpips import LPIPS
from jaxgan.metrics import Whitening

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Findings(NamedTuple):
    """What a study leaves.

    Attributes:
      rows: one per inversion, for the CSV.
      figure: for reading.
      text: a paragraph with the measured numbers.
    """

    rows: list[Row]
    figure: Figure
    text: str


class Case(NamedTuple):
    """One inversion of a sweep.

    Attributes:
      labels: what the row of the CSV says about it.
      face: index of the face.
      true, assumed: the degradation that is applied, and the one that is assumed.
      latent_dist_reg_weight: None for that of the config.
    """

    labels: Row
    face: int
    true: Degradation
    assumed: Degradation
    latent_dist_reg_weight: float | None = None


@dataclasses.dataclass(frozen=True)
class Setup:
    """Networks and faces of a study.

    Attributes:
      generator, lpips, whitening: what inverts and measures.
      faces: the truths.
      steps: of an inversion.
      seed: of all randomness.
      batch_size: inversions at once.
      say: told of the progress.
      kept: the rows of earlier sweeps.
    """

    generator: Generator
    lpips: LPIPS
    whitening: Whitening
    faces: FaceSet
    steps: int
    seed: int
    batch_size: int
    say: Callable[[str], None]
    kept: Kept

    @property
    def indices(self) -> range:
        """Of the faces."""
        return range(len(self.faces.names))

    @property
    def lpips_name(self) -> str:
        """The distance with the side of the faces, on which it depends."""
        return metrics.lpips_name(self.generator.config.resolution)

    def config(self, task: str, **changes: Any) -> InversionConfig:
        """The settings of a task, with the steps of this study and what it varies."""
        return dataclasses.replace(InversionConfig.for_task(task), **{"steps": self.steps, **changes})

    def invert(self, config: InversionConfig, cases: Sequence[Case]) -> list[Row]:
        """Inverts the cases as one batch, whose places are refilled.

        Args:
          config: of all cases; their degradations are of the same kind.
          cases: the same face has the same first noise maps in all of them.
        Returns:
          A row per case: its labels, the face, PSNR, SSIM and LPIPS against truth and observation, the distance of w
          from the mean latent; under "images" what is to be shown.
        """
        return self.kept.sweep(lambda: self._measure(config, cases))

    def _measure(self, config: InversionConfig, cases: Sequence[Case]) -> list[Row]:
        self.say(f"{len(cases)} inversions of {config.steps} steps")
        truths = jnp.stack([jnp.asarray(self.faces.faces[case.face]) for case in cases])
        true, assumed = _stack([case.true for case in cases]), _stack([case.assumed for case in cases])
        observed = observation.observe(true, truths)
        weights = [case.latent_dist_reg_weight for case in cases]
        configs = [config if w is None else dataclasses.replace(config, latent_dist_reg_weight=w) for w in weights]
        names = [self.faces.names[case.face] for case in cases]
        results = inversion.invert_batch(
            self.generator,
            self.lpips,
            observed,
            assumed,
            configs,
            jnp.stack([run_settings.key_for(self.seed, Path(name)) for name in names]),
            size=self.batch_size,
        )
        restored = jnp.stack([result.image for result in results])
        again = observation.degrade_all(true, restored)
        rows = []
        for index, (case, result) in enumerate(zip(cases, results, strict=True)):
            row = {**case.labels, "face": names[index], "steps": config.steps}
            measured = metrics.measure(
                self.lpips,
                truth=truths[index],
                observed=observed[index],
                reconstruction=restored[index],
                degraded_again=again[index],
            )
            row |= metrics.columns(measured)
            row["realism"] = metrics.latent_distance(self.whitening, result.ws)
            pictures = {"truth": truths, "observed": observed, "restored": restored}
            row["images"] = {name: images.to_uint8(np.asarray(all_[index])) for name, all_ in pictures.items()}
            row["losses"] = result.losses
            rows.append(row)
        return rows


def _stack(degradations: list[Degradation]) -> Degradation:
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *degradations)


def classical_row(setup: Setup, labels: Row, face: int, degradation: Degradation, restored: np.ndarray) -> Row:
    """A row for an image that another method restored."""
    truth = jnp.asarray(setup.faces.faces[face])
    values = metrics.compare(setup.lpips, jnp.asarray(restored), truth)
    row = {**labels, "face": setup.faces.names[face], "lpips_size": values.pop("lpips_size")}
    return row | {f"{name}_truth": value for name, value in values.items()}
