"""The tasks of the robust paper: four damages at five levels, and all their compositions at level M.

References:
  Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, Tables 1 to 3, arXiv 2302.06733.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxgan import masks
from jaxgan.tasks import LEVELS, factor_at
from jaxgan.truths import Compression, Hole, PoissonNoise, Reduction, Truth

TASKS = ("upsample", "denoise", "dejpeg", "inpaint")
"""In the order in which they happen."""

OF_THE_PAPER = {"upsample-XL": 21.3, "denoise-XL": 17.9, "dejpeg-XL": 18.7, "inpaint-XL": 15.0}
"""100 LPIPS to the truth, on FFHQ with a network of 1024 pixels; at other sizes the largest factor is another one."""


class LevelTask(NamedTuple):
    """A damage of the benchmark.

    Attributes:
      tasks: one or more of `TASKS`.
      level: a key of `LEVELS`.
    """

    tasks: tuple[str, ...]
    level: str

    @property
    def name(self) -> str:
        """As in tables: `upsample+dejpeg-M`."""
        return f"{'+'.join(self.tasks)}-{self.level}"

    def chain(self, resolution: int, seed: int) -> list[Truth]:
        """What happens to a face.

        Args:
          resolution: of the face.
          seed: of the strokes; `truths.damage` takes that of everything else.
        """
        factor, strokes, photons, drop, quality = LEVELS[self.level]
        every: dict[str, Truth] = {
            "upsample": Reduction(factor_at(resolution, factor)),
            "denoise": PoissonNoise(photons, drop),
            "dejpeg": Compression(quality),
            "inpaint": Hole(masks.lines(seed, resolution, count=strokes)),
        }
        return [every[task] for task in self.tasks]


def all_tasks(resolution: int, levels: Iterable[str] = LEVELS) -> list[LevelTask]:
    """All tasks of some levels; factors that coincide at a resolution are one task, of the lowest level."""
    found, factors = [], set()
    for level in LEVELS:
        factor = factor_at(resolution, LEVELS[level].factor)
        names = [task for task in TASKS if task != "upsample" or factor not in factors]
        factors.add(factor)
        found += [LevelTask((task,), level) for task in names]
        if level == "M":
            sizes = range(2, len(TASKS) + 1)
            found += [LevelTask(some, level) for size in sizes for some in itertools.combinations(TASKS, size)]
    chosen = set(levels)
    return [task for task in found if task.level in chosen]


def table(tasks: Sequence[LevelTask], rows: Sequence[dict[str, Any]], methods: Sequence[str], command: str) -> str:
    """Markdown: accuracy, fidelity and distance of w of every task and method.

    Args:
      tasks: all that belong into the table, run or not.
      rows: of `tables.Table`.
      methods: named in it.
      command: that runs a task; its levels are added.
    """
    header = ("task", "method", "faces", "accuracy", "the paper's", "fidelity", "distance of w")
    lines = ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
    missing = set()
    for task, method in itertools.product(tasks, methods):
        kept = [row for row in rows if (row["task"], row["method"]) == (task.name, method) and row["kept"]]
        final = [row for row in kept if row["result"] == kept[-1]["result"]]
        if not final and has_method(task, method):
            missing.add((task.level, method))
        paper = f"({OF_THE_PAPER[task.name]})" if task.name in OF_THE_PAPER and method != "classical" else ""
        cells = [task.name, method, str(len(final)) if final else "", _mean(final, "lpips_truth", 100), paper]
        cells += [_mean(final, "lpips_observed", 100), _mean(final, "realism", 1)]
        lines.append("| " + " | ".join(cells) + " |")
    notes = [
        "Accuracy: 100 LPIPS between restoration and truth. Fidelity: 100 LPIPS between the restoration, degraded "
        "again, and the observation. Lower is better. In brackets: the paper's, of another network of 1024 pixels.",
        *(f"Not run: `{command} --levels {level} --method {method}`" for level, method in sorted(missing)),
    ]
    return "\n".join([*lines, "", *notes]) + "\n"


def has_method(task: LevelTask, method: str) -> bool:
    """Whether a method can do a task: a classical one knows a single damage, and none is known for JPEG."""
    return method != "classical" or (len(task.tasks) == 1 and task.tasks != ("dejpeg",))


def _mean(rows: Sequence[dict[str, Any]], name: str, factor: float) -> str:
    values = [row[name] for row in rows if np.isfinite(row[name])]
    return f"{factor * np.mean(values):.1f}" if values else ""
