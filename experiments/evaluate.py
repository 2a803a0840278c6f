"""Restoration quality on many images: PSNR, SSIM and LPIPS of every task, against the truth and the observation.

  python -m experiments.evaluate --output outputs/evaluation

Inverts 16 held-out faces of the embedded network's kind (never seen in its training) for every task, all of a task in
one batch, and writes results.csv, summary.md and a contact sheet per task. Ten minutes on two CPU cores.
"""

from __future__ import annotations

import csv
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from experiments import cli

if TYPE_CHECKING:
    import numpy as np

HELDOUT = Path(__file__).parents[1] / "jaxgan" / "data" / "heldout.npz"
METRICS = ("psnr", "ssim", "lpips")


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of `experiments.evaluate`."""

    output: Path = Path("outputs/evaluation")
    """Folder to write."""
    task: tuple[Literal["invert", "inpaint", "deblur", "colorize"], ...] = ("invert", "inpaint", "deblur", "colorize")
    """Tasks to evaluate."""
    images: Path = HELDOUT
    """Aligned faces: a .npz whose `images` is uint8 [N, size, size, 3]. Default: 16 held-out synthetic faces."""
    count: int = 16
    """Take the first so many images."""
    batch_size: int = 8
    """Images inverted at once."""
    model: str = "demo"
    """Folder written by `python -m convert stylegan2`, or `demo`."""
    seed: int = 0
    """Seed of the noise maps, of the jitter and of the brush strokes."""
    steps: int | None = None
    """Optimisation steps. Default: that of the task."""
    learning_rate: float | None = None
    """Adam's largest step size. Default: that of the task."""
    latent_space: Literal["w", "w_plus"] | None = None
    """One latent for all layers, or one per layer. Default: that of the task."""
    latent_dist_reg_weight: float | None = None
    """Weight of the squared distance of w from the mean latent. Default: that of the task."""
    noise_reg_weight: float | None = None
    """Weight that keeps the noise maps white. Default: that of the task."""
    reference: bool = False
    """Use the published projector's settings instead of this project's."""


def run(config: Config) -> list[dict]:
    """Runs the command; returns a row per image and task."""
    import jaxgan
    from experiments import tasks
    from jaxgan import images
    from jaxgan.errors import UserError

    photographs = load_images(config.images, config.count)
    generator = jaxgan.load_generator(config.model)
    if photographs.shape[1] != generator.config.resolution:
        photographs = [images.resize(photo, generator.config.resolution) for photo in photographs]
    lpips = jaxgan.load_lpips()
    if config.batch_size < 1:
        raise UserError(f"--batch-size must be at least 1, got {config.batch_size}.")
    config.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for task in config.task:
        base = jaxgan.InversionConfig.reference() if config.reference else jaxgan.InversionConfig.for_task(task)
        rows += evaluate_task(config, task, tasks.with_settings(base, config), generator, lpips, photographs)
    write_csv(config.output / "results.csv", rows)
    table = summarise(rows)
    (config.output / "summary.md").write_text(table)
    print(table)
    return rows


def load_images(path: Path, count: int) -> np.ndarray:
    """Reads the first `count` images, uint8 `[count, size, size, 3]`.

    Raises:
      UserError: the file holds no such array.
    """
    import numpy as np

    from jaxgan.errors import UserError

    try:
        with np.load(path, allow_pickle=False) as file:
            found = file["images"]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is no .npz with an array `images`: {error}") from None
    if found.ndim != 4 or found.dtype != np.uint8 or found.shape[1] != found.shape[2] or found.shape[3] != 3:
        raise UserError(f"{path}: images are {found.dtype} {found.shape}; expected uint8 (N, size, size, 3).")
    if not 1 <= count <= len(found):
        raise UserError(f"--count is {count}; {path} holds {len(found)} images.")
    return found[:count]


def evaluate_task(config: Config, task: str, settings, generator, lpips, photographs) -> list[dict]:
    """Inverts all photographs for one task, in batches, and measures each result."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import tqdm

    from experiments import report, tasks
    from jaxgan import batch, images

    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(config.seed), i))(jnp.arange(len(photographs)))
    degrade = jax.jit(jax.vmap(lambda degradation, image: degradation(image)))
    rows, tiles = [], []
    bar = tqdm.tqdm(total=len(photographs), unit="image", desc=task, file=sys.stderr)
    for first in range(0, len(photographs), config.batch_size):
        part = slice(first, min(first + config.batch_size, len(photographs)))
        truth = jnp.stack([jnp.asarray(images.to_float(photo)) for photo in photographs[part]])
        parts = [
            tasks.default_degradation(task, generator.config.resolution, config.seed + i)
            for i in range(*part.indices(10**9))
        ]
        degradations = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
        observed = degrade(degradations, truth)
        start = time.perf_counter()
        results = batch.invert_batch(generator, lpips, observed, degradations, settings, keys[part])
        restored = jnp.stack([result.image for result in results])
        seconds = (time.perf_counter() - start) / len(truth)
        again = degrade(degradations, restored)
        for index in range(len(truth)):
            row = {"task": task, "image": first + index, "steps": settings.steps, "seconds": round(seconds, 2)}
            for name, pair in (("truth", (restored, truth)), ("observed", (again, observed))):
                values = report.compare(lpips, pair[0][index], pair[1][index])
                row |= {f"{metric}_{name}": values[metric] for metric in METRICS}
            rows.append(row)
            tiles.append([truth[index], observed[index], restored[index], again[index]])
        bar.update(len(truth))
    bar.close()
    sheet = np.concatenate([np.concatenate([np.asarray(t) for t in column], 0) for column in tiles], 1)
    images.write_png(config.output / f"{task}.png", np.repeat(np.repeat(sheet, 2, 0), 2, 1))
    return rows


def write_csv(path: Path, rows: list[dict]) -> None:
    """A row per image and task."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def summarise(rows: list[dict]) -> str:
    """Markdown table of means and their standard errors, a row per task."""
    import numpy as np

    names = [f"{metric}_{against}" for against in ("truth", "observed") for metric in METRICS]
    titles = {"psnr": "PSNR", "ssim": "SSIM", "lpips": "LPIPS", "truth": "truth", "observed": "observation"}
    header = [f"{titles[metric]}, {titles[against]}" for metric, against in (name.split("_") for name in names)]
    lines = ["| task | images | steps | " + " | ".join(header) + " | s / image |", "|---" * (len(names) + 4) + "|"]
    for task in dict.fromkeys(row["task"] for row in rows):
        chosen = [row for row in rows if row["task"] == task]
        cells = []
        for name in names:
            values = np.array([row[name] for row in chosen])
            digits = 1 if name.startswith("psnr") else 3
            error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
            cells.append(f"{values.mean():.{digits}f} ± {error:.{digits}f}")
        seconds = np.mean([row["seconds"] for row in chosen])
        lines.append(f"| {task} | {len(chosen)} | {chosen[0]['steps']} | " + " | ".join(cells) + f" | {seconds:.1f} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(Config, run, argv, prog="python -m experiments.evaluate", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
