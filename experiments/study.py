"""The findings of the original exercise, each as an experiment that measures it.

  python -m experiments.study colour --quick

Writes figure.png, results.csv (a row per inversion), finding.md (a paragraph with the measured numbers), config.json.
`--quick` takes some minutes on two CPU cores; experiments/STUDY.md shows and discusses the results.
"""

from __future__ import annotations

import csv
import dataclasses
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments import cli

if TYPE_CHECKING:
    from experiments.studies.setup import Findings, Row

Name = Literal["latent-weight", "steps", "kernel", "mismatch", "colour", "mask", "latent-space", "fewer-steps"]
QUICK_STEPS, QUICK_COUNT = 60, 3


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of `experiments.study`."""

    name: Annotated[Name, tyro.conf.Positional]
    """The study."""
    quick: bool = False
    """60 steps (fewer-steps: 200) on three faces."""
    output: Path | None = None
    """Folder to write. Default: outputs/study-NAME."""
    images: str | None = None
    """As in `experiments.evaluate`. Default: `heldout`; for fewer-steps `development`."""
    already_aligned: bool = False
    """The photographs are square face crops."""
    count: int | None = None
    """Take the first so many faces. Default: all, or three."""
    steps: int | None = None
    """Steps of an inversion. Default: 200, or 60."""
    batch_size: int = 8
    """Inversions at once."""
    model: str = "demo"
    """Folder written by `python -m convert stylegan2`, or `demo`."""
    seed: int = 0
    """Of the first noise maps."""


def run(config: Config) -> Findings:
    """Runs the command; prints the finding and returns it."""
    import jaxgan
    from experiments.measure import face_sets
    from experiments.runs import settings as run_settings
    from experiments.studies import figures
    from experiments.studies.setup import Setup
    from jaxgan import InversionConfig, metrics
    from jaxgan.errors import UserError

    for name in ("count", "steps", "batch_size"):
        if (value := getattr(config, name)) is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {value}.")
    is_search = config.name == "fewer-steps"
    source = config.images or ("development" if is_search else "heldout")
    count = config.count or (QUICK_COUNT if config.quick else None)
    steps = config.steps or (
        QUICK_STEPS if config.quick and not is_search else InversionConfig.for_task("invert").steps
    )
    generator = jaxgan.load_generator(config.model)
    setup = Setup(
        generator,
        jaxgan.load_lpips(),
        metrics.whitening(generator),
        face_sets.load(source, generator.config, count=count, already_aligned=config.already_aligned),
        steps=steps,
        seed=config.seed,
        batch_size=config.batch_size,
        say=lambda line: print(line, file=sys.stderr),
    )
    output = config.output or Path("outputs") / f"study-{config.name}"
    output.mkdir(parents=True, exist_ok=True)
    study = importlib.import_module(f"experiments.studies.{config.name.replace('-', '_')}").study
    findings = study(setup)
    write_csv(output / "results.csv", findings.rows)
    figures.save(findings.figure, output / "figure.png")
    (output / "finding.md").write_text(findings.text + "\n")
    record = {"options": run_settings.options(config), "faces": len(setup.indices), "steps": steps}
    record["versions"] = run_settings.versions()
    (output / "config.json").write_text(json.dumps(record, indent=2, default=str) + "\n")
    print(findings.text)
    return findings


def write_csv(path: Path, rows: list[Row]) -> None:
    """A row per inversion, without the arrays."""
    kept = [{name: value for name, value in row.items() if isinstance(value, str | float | int)} for row in rows]
    names = list(dict.fromkeys(name for row in kept for name in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(kept)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(Config, run, argv, prog="python -m experiments.study", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
