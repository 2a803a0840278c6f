"""What `experiments.evaluate` writes: its rows, their summary, and sheets of the best, median and worst faces."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.measure.statistics import bootstrap
from experiments.runs import report
from experiments.runs import settings as run_settings
from jaxgan import images, metrics
from jaxgan.errors import UserError

if TYPE_CHECKING:
    from experiments.evaluate import Config

KEYS = ("task", "method", "image", "seed", "kept", "steps", "seconds")
TITLES = {
    "psnr_truth": "PSNR, truth (dB)",
    "ssim_truth": "SSIM, truth",
    "lpips_truth": "{lpips}, truth",
    "psnr_observed": "PSNR, observation (dB)",
    "ssim_observed": "SSIM, observation",
    "lpips_observed": "{lpips}, observation",
    "identity": "identity distance",
    "realism": "distance of w",
}
"""Accuracy is measured against the truth, fidelity against the observation after degrading the result again."""


class Table:
    """The rows of results.csv, written task by task so that a stopped evaluation goes on.

    Attributes:
      rows: a dict per face, task, method and seed.
    """

    def __init__(self, folder: Path, config: Config):
        """Begins a table, or goes on with it.

        Raises:
          UserError: the folder holds results of other settings.
        """
        self._path = folder / "results.csv"
        settings = json.loads(json.dumps(dataclasses.asdict(config), default=str))
        record = folder / "config.json"
        free = {"output", "task", "method", "batch_size"}  # more of them may be asked for later
        if record.exists():
            earlier = json.loads(record.read_text())["options"]
            differing = [name for name in settings if name not in free and earlier.get(name) != settings[name]]
            if differing:
                raise UserError(
                    f"{folder} holds results with other settings ({', '.join(differing)}); choose another --output."
                )
        folder.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"options": settings, "versions": run_settings.versions()}, indent=2) + "\n")
        self.rows = _read(self._path) if self._path.exists() else []

    def has(self, task: str, method: str) -> bool:
        """Whether a method's rows of a task are there."""
        return any((row["task"], row["method"]) == (task, method) for row in self.rows)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Adds the rows of a task and method, and writes all."""
        self.rows += rows
        partial = self._path.with_name(f".{self._path.name}")
        with open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, [*KEYS, *TITLES, "lpips_size"])
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self._path)


def _read(path: Path) -> list[dict[str, Any]]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {name: float(row[name]) for name in ("seconds", *TITLES)}
        row |= {name: int(row[name]) for name in ("seed", "steps", "lpips_size")} | {"kept": row["kept"] == "True"}
    return rows


def summarise(rows: list[dict[str, Any]]) -> str:
    """Markdown table of means with their 95 % bootstrap intervals over images, a row per task and method."""
    lpips = metrics.lpips_name(rows[0]["lpips_size"])
    titles = [title.format(lpips=lpips) for title in TITLES.values()]
    header = ["task", "method", "images", *titles, "faces found", "steps", "s / image"]
    lines = ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
    for task, method in dict.fromkeys((row["task"], row["method"]) for row in rows):
        chosen = [row for row in rows if (row["task"], row["method"], row["kept"]) == (task, method, True)]
        cells = [task, method, str(len(chosen))]
        for name in TITLES:
            values = np.array([row[name] for row in chosen])
            found = values[np.isfinite(values)]
            digits = 1 if name.startswith("psnr") else 2 if name == "realism" else 3
            at_infinity = np.isposinf(values).any()  # equal pictures
            cells.append("inf" if at_infinity else bootstrap(found).text(digits) if len(found) else "-")
        share = np.mean([np.isfinite(row["identity"]) for row in chosen])
        seconds = np.mean([row["seconds"] for row in chosen])
        lines.append("| " + " | ".join([*cells, f"{share:.0%}", str(chosen[0]["steps"]), f"{seconds:.1f}"]) + " |")
    return "\n".join(lines) + "\n"


def write_sheet(path: Path, rows: list[dict[str, Any]], pictures: dict[str, list[np.ndarray]]) -> None:
    """The best, the median and the worst face by LPIPS to the truth, a row of pictures each.

    Args:
      path: PNG to write.
      rows: one per face.
      pictures: per face the truth, what was observed, the result and that degraded again.
    """
    ordered = sorted(rows, key=lambda row: row["lpips_truth"])
    places = {"best": 0, "median": len(ordered) // 2, "worst": len(ordered) - 1}
    strips = []
    for title, row in ((title, ordered[place]) for title, place in places.items()):
        lpips = metrics.lpips_name(row["lpips_size"])
        titles = (
            f"{title}: {row['image']}",
            "observed",
            f"restored\n{row['psnr_truth']:.1f} dB, {lpips} {row['lpips_truth']:.3f}",
            f"degraded again\n{row['psnr_observed']:.1f} dB, {lpips} {row['lpips_observed']:.3f}",
        )
        strips.append(report.panel(list(zip(titles, pictures[row["image"]], strict=True))))
    images.write_png(path, np.concatenate(strips, 0))
