"""The rows of an evaluation, their summary, and sheets of the best, the median and the worst face."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.measure.statistics import bootstrap
from experiments.runs import report
from experiments.runs import settings as run_settings
from experiments.runs.pictures import thumbnail
from jaxgan import files, images, metrics
from jaxgan.errors import UserError

KEYS = ("task", "method", "result", "image", "seed", "kept", "steps", "seconds")
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
FREE = ("output", "task", "levels", "method", "batch_size", "write_spectrum")
"""Options that may differ when an evaluation goes on."""
FORMAT = {"format": "jaxgan-evaluation", "format_version": 3}


class Table:
    """The rows of results.csv, written task by task so that a stopped evaluation goes on.

    Attributes:
      rows: a dict per face, task, method and seed.
    """

    def __init__(self, folder: Path, options: Mapping[str, Any]):
        """Begins a table, or goes on with it.

        Args:
          folder: of the evaluation; it is made.
          options: of the command; more tasks, methods and images at once may be asked for later.
        Raises:
          UserError: the folder holds results of other settings.
        """
        self._path = folder / "results.csv"
        settings = run_settings.as_stored({name: value for name, value in options.items() if name not in FREE})
        record = folder / "config.json"
        if record.exists():
            earlier = json.loads(record.read_text())
            if {name: earlier.get(name) for name in FORMAT} != FORMAT:
                raise UserError(f"{folder} was written by another version of this program; choose another --output.")
            if differing := run_settings.differences(earlier["settings"], settings):
                raise UserError(
                    f"{folder} holds results with other settings ({'; '.join(differing)}); choose another --output."
                )
        folder.mkdir(parents=True, exist_ok=True)
        facts = FORMAT | {"settings": settings, "versions": run_settings.versions()}
        files.write_text(record, json.dumps(facts, indent=2) + "\n")
        self.rows = _read(self._path) if self._path.exists() else []

    def has(self, task: str, method: str) -> bool:
        """Whether a method's rows of a task are there."""
        return any((row["task"], row["method"]) == (task, method) for row in self.rows)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Adds the rows of a task and method, and writes all."""
        self.rows += rows
        with files.replacing(self._path) as partial, open(partial, "w", newline="") as file:
            writer = csv.DictWriter(file, [*KEYS, *TITLES, "lpips_size"])
            writer.writeheader()
            writer.writerows(self.rows)


def _read(path: Path) -> list[dict[str, Any]]:
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {name: float(row[name]) for name in ("seconds", *TITLES)}
        row["lpips_size"] = int(row["lpips_size"])
        row |= {name: int(row[name]) for name in ("seed", "steps", "lpips_size")} | {"kept": row["kept"] == "True"}
    return rows


def summarise(rows: list[dict[str, Any]]) -> str:
    """Markdown table of means with their 95 % bootstrap intervals over images, a row per task and method."""
    lpips = metrics.lpips_name(rows[0]["lpips_size"])
    titles = [title.format(lpips=lpips) for title in TITLES.values()]
    header = ["task", "method", "result", "images", *titles, "faces found", "steps", "s / image"]
    lines = ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
    for kind in dict.fromkeys((row["task"], row["method"], row["result"]) for row in rows):
        chosen = [row for row in rows if (row["task"], row["method"], row["result"]) == kind and row["kept"]]
        cells = [*kind, str(len(chosen))]
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


def differences(rows: list[dict[str, Any]], base: str = "default") -> str:
    """Markdown table of the means of paired differences to a method, with their 95 % intervals over images.

    Args:
      rows: as for `summarise`. Only the last result of a method counts, which is its restoration where it has one.
      base: the method that all others are compared with.
    Returns:
      The table; "" if there is nothing to compare.
    """
    names = [name for name in TITLES if name.endswith("_truth")] + ["identity"]
    last = {(row["task"], row["method"]): row["result"] for row in rows}
    of = {
        (task, method): {
            row["image"]: row
            for row in rows
            if (row["task"], row["method"], row["result"]) == (task, method, result) and row["kept"]
        }
        for (task, method), result in last.items()
    }
    lines = []
    for (task, method), found in of.items():
        if method != base and (task, base) in of:
            pairs = [(row, of[task, base][image]) for image, row in found.items() if image in of[task, base]]
            cells = []
            for name in names:
                values = np.array([row[name] - other[name] for row, other in pairs])
                values = values[np.isfinite(values)]
                cells.append(bootstrap(values).text(1 if name.startswith("psnr") else 3) if len(values) else "-")
            lines.append(f"| {task} | {method} | {len(pairs)} | " + " | ".join(cells) + " |")
    if not lines:
        return ""
    lpips = metrics.lpips_name(rows[0]["lpips_size"])
    titles = [TITLES[name].format(lpips=lpips) for name in names]
    header = "| " + " | ".join(["task", "method", "images", *titles]) + " |"
    return "\n".join([f"Paired differences to {base}:", "", header, "| --- " * (3 + len(names)) + "|", *lines]) + "\n"


def write_sheet(path: Path, rows: list[dict[str, Any]], pictures: dict[tuple[str, str], list[np.ndarray]]) -> None:
    """The best, the median and the worst face by LPIPS to the truth, a row of pictures each.

    Args:
      path: PNG to write.
      rows: of kept results; of several results of a face, the last is shown.
      pictures: per face and result the truth, what was observed, the result and that degraded again.
    """
    rows = [row for row in rows if row["result"] == rows[-1]["result"]]
    ordered = sorted(rows, key=lambda row: row["lpips_truth"])
    places = {"best": 0, "median": len(ordered) // 2, "worst": len(ordered) - 1}
    strips = []
    for title, row in ((title, ordered[place]) for title, place in places.items()):
        shown = pictures[row["image"], row["result"]]
        titles = (
            f"{title}: {row['image']}",
            "observed",
            f"{row['result']}\n{_numbers(row, 'truth')}",
            f"degraded again\n{_numbers(row, 'observed')}",
        )
        strips.append(report.panel(list(zip(titles, shown, strict=True))))
    images.write_png(path, np.concatenate(strips, 0))


def write_strip(path: Path, found: dict[tuple[str, str], list[np.ndarray]], *, faces: int = 4, side: int = 128) -> None:
    """The first faces side by side: the truth, what was observed of it, and the last result.

    Args:
      path: PNG to write; its folder is made.
      found: pictures as for `write_sheet`.
      faces: as many at most.
      side: of a picture.
    """
    last = {name: pictures for (name, _), pictures in found.items()}  # of several results the last
    tiles = [images.to_uint8(picture) for pictures in list(last.values())[:faces] for picture in pictures[:3]]
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write_png(path, np.concatenate([thumbnail(tile, side) for tile in tiles], axis=1))


def _numbers(row: dict[str, Any], which: str) -> str:
    return report.numbers(
        {name: row[f"{name}_{which}"] for name in ("psnr", "lpips")} | {"lpips_size": row["lpips_size"]}
    )
