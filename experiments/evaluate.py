"""Restoration quality, measured: this project, the published projector and a classical method on the same faces.

  python -m experiments.evaluate --output outputs/evaluation
  python -m experiments.evaluate --task inpaint --images my_photos --restarts 4 --output outputs/mine

Degrades faces of known truth for every task, restores them with every method, and writes results.csv (a row per face,
task, method and seed), summary.md (means with 95 % bootstrap intervals) and, for each task and method, a sheet of the
best, the median and the worst face by LPIPS to the truth. What is finished is kept: the same command continues.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments import cli

if TYPE_CHECKING:
    import numpy as np

    from experiments.measure.face_sets import FaceSet
    from jaxgan import LPIPS, Generator, InversionConfig
    from jaxgan.metrics import Whitening

Task = Literal["invert", "inpaint", "deblur", "colorize"]
Method = Literal["jaxgan", "projector", "classical"]


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of `experiments.evaluate`."""

    output: Path = Path("outputs/evaluation")
    """Folder to write; rows of an earlier run with the same settings are kept."""
    task: tuple[Task, ...] = ("invert", "inpaint", "deblur", "colorize")
    """Tasks to evaluate."""
    method: tuple[Method, ...] = ("jaxgan", "projector", "classical")
    """This project's loop, the projector published with StyleGAN2 (1000 steps), and a method of scikit-image."""
    images: str = "heldout"
    """`heldout` or `development` (shipped synthetic faces), an .npz with uint8 `images`, or a folder or pattern of
    photographs, whose largest faces are aligned."""
    already_aligned: bool = False
    """The photographs are square face crops."""
    count: int | None = None
    """Take the first so many images. Default: all."""
    restarts: int = 1
    """Seeds per image; the result nearest to the observation counts."""
    batch_size: int = 8
    """Images inverted at once."""
    model: str = "demo"
    """Folder written by `python -m convert stylegan2`, or `demo`."""
    seed: int = 0
    """First seed of the noise maps and of the jitter; also that of the brush strokes."""
    steps: int | None = None
    """jaxgan: optimisation steps. Default: that of the task."""
    learning_rate: float | None = None
    """jaxgan: Adam's largest step size. Default: that of the task."""
    latent_space: Literal["w", "w_plus"] | None = None
    """jaxgan: one latent for all layers, or one per layer. Default: that of the task."""
    latent_dist_reg_weight: float | None = None
    """jaxgan: weight of the squared distance of w from the mean latent. Default: that of the task."""
    noise_reg_weight: float | None = None
    """jaxgan: weight that keeps the noise maps white. Default: that of the task."""


@dataclasses.dataclass(frozen=True)
class Networks:
    """What all evaluations share."""

    generator: Generator
    lpips: LPIPS
    whitening: Whitening


def run(config: Config) -> list[dict[str, Any]]:
    """Runs the command; prints the summary and returns the rows of results.csv."""
    import jaxgan
    from experiments.measure import face_sets
    from experiments.measure import tables as evaluation_tables
    from jaxgan import metrics
    from jaxgan.errors import UserError

    if config.batch_size < 1 or config.restarts < 1:
        raise UserError("--batch-size and --restarts must be at least 1.")
    settings = {
        (task, method): method_settings(config, task, method) for task in config.task for method in config.method
    }
    generator = jaxgan.load_generator(config.model)
    face_set = face_sets.load(
        config.images, generator.config, count=config.count, already_aligned=config.already_aligned
    )
    networks = Networks(generator, jaxgan.load_lpips(), metrics.whitening(generator))
    table = evaluation_tables.Table(config.output, config)
    for (task, method), chosen in settings.items():
        if not table.has(task, method):
            rows, pictures = evaluate(config, task, method, chosen, networks, face_set)
            table.add(rows)
            kept = [row for row in rows if row["kept"]]
            evaluation_tables.write_sheet(config.output / f"{task}-{method}.png", kept, pictures)
    summary = evaluation_tables.summarise(table.rows)
    (config.output / "summary.md").write_text(summary)
    print(summary)
    return table.rows


def method_settings(config: Config, task: Task, method: Method) -> InversionConfig | None:
    """The settings of a method's loop; None if it has no loop."""
    import jaxgan
    from experiments.restore import degrade as tasks

    if method == "classical":
        return None
    if method == "projector":
        return jaxgan.InversionConfig.reference()
    return tasks.with_settings(jaxgan.InversionConfig.for_task(task), config)


def evaluate(
    config: Config,
    task: Task,
    method: Method,
    settings: InversionConfig | None,
    networks: Networks,
    face_set: FaceSet,
) -> tuple[list[dict[str, Any]], dict[str, list[np.ndarray]]]:
    """Degrades, restores and measures all faces.

    Returns:
      A row per face and seed, and per face the truth, what was observed, the kept result and that degraded again.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from experiments.measure import observation
    from jaxgan import metrics
    from jaxgan.photos import identity
    from jaxgan.tasks import default_degradation

    resolution = networks.generator.config.resolution
    parts = [default_degradation(task, resolution, seed=config.seed + i) for i in range(len(face_set.names))]
    degradations = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
    truths = jnp.asarray(face_set.faces)
    observed = observation.observe(degradations, truths)
    rows: list[dict[str, Any]] = []
    pictures: dict[str, list[np.ndarray]] = {}
    for seed in range(config.seed, config.seed + (1 if settings is None else config.restarts)):
        start = time.perf_counter()
        restored, ws = _restore(config, seed, settings, networks, parts, degradations, observed, face_set.names)
        seconds = (time.perf_counter() - start) / len(restored)
        again = observation.degrade_all(degradations, restored)
        identities = metrics.identity_distances(identity.descriptor, truths, restored)
        for index, name in enumerate(face_set.names):
            row = {"task": task, "method": method, "image": name, "seed": seed, "kept": False}
            row |= {"steps": settings.steps if settings else 0, "seconds": round(seconds, 2)}
            measured = metrics.measure(
                networks.lpips,
                truth=truths[index],
                observed=observed[index],
                reconstruction=restored[index],
                degraded_again=again[index],
            )
            row |= metrics.columns(measured)
            row["identity"] = identities[index]
            row["realism"] = np.nan if ws is None else metrics.latent_distance(networks.whitening, ws[index])
            rows.append(row)
            best = min((r for r in rows if r["image"] == name), key=lambda r: r["lpips_observed"])
            if best is row:
                pictures[name] = [np.asarray(x[index]) for x in (truths, observed, restored, again)]
    for name in face_set.names:
        min((r for r in rows if r["image"] == name), key=lambda r: r["lpips_observed"])["kept"] = True
    return rows, pictures


def _restore(config, seed, settings, networks, parts, degradations, observed, names):
    """Restored images `[n, H, W, 3]` and their latents, None for a method without."""
    import jax.numpy as jnp
    import numpy as np

    from experiments.measure import classical
    from experiments.runs import settings as run_settings
    from jaxgan import inversion

    if settings is None:
        pairs = zip(parts, np.asarray(observed), strict=True)
        return jnp.stack([jnp.asarray(classical.restore(*pair)) for pair in pairs]), None
    keys = jnp.stack([run_settings.key_for(seed, Path(name), 0) for name in names])
    results = inversion.invert_batch(
        networks.generator, networks.lpips, observed, degradations, settings, keys, size=config.batch_size
    )
    return jnp.stack([result.image for result in results]), [result.ws for result in results]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(Config, run, argv, prog="python -m experiments.evaluate", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
