"""Measure a finding of the original exercise.

  python -m experiments.study colour --quick

The command writes figure.png, results.csv (a row per inversion), finding.md (a paragraph with the measured numbers) and
config.json. It takes some minutes with --quick on two CPU cores; experiments/STUDY.md discusses the results.
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
from experiments.options import default

if TYPE_CHECKING:
    from experiments.studies.setup import Findings, Row

Name = Literal[
    "latent-weight",
    "steps",
    "kernel",
    "mismatch",
    "colour",
    "mask",
    "latent-space",
    "fewer-steps",
    "restoration",
    "noise",
    "interpolation",
    "uncertainty",
    "blind",
    "settings",
]
QUICK_STEPS, QUICK_COUNT = 60, 3
TASKS = dict.fromkeys(("colour", "latent-space", "latent-weight", "restoration"), ("colorize",))
"""The tasks of a study that not every network can do."""


@dataclasses.dataclass(frozen=True)
class StudyOptions:
    """Options of `experiments.study`."""

    name: Annotated[Name, tyro.conf.Positional]
    """The finding to measure: experiments/STUDY.md has a section or a question for each."""
    quick: bool = False
    """Take 60 steps (fewer-steps: 150) on three faces."""
    output: Annotated[Path | None, default("outputs/study-NAME")] = None
    """Folder to write."""
    images: Annotated[str | None, default("samples:8")] = None
    """`samples:N` of the network itself, an .npz with uint8 `images` of aligned faces, or a folder of photographs."""
    already_aligned: bool = False
    """The photographs are square face crops already; no face is looked for."""
    count: Annotated[int | None, default("all, or three with --quick")] = None
    """Take the first so many faces."""
    steps: Annotated[int | None, default("150, or 60 with --quick")] = None
    """Steps of an inversion."""
    batch_size: int = 8
    """Number of images that are inverted at once."""
    model: str = "demo"
    """Folder written by `python -m convert stylegan2`, or `demo`."""
    seed: int = 0
    """Seed of the first noise maps."""


def run(options: StudyOptions) -> Findings:
    """Runs the command; prints the finding and returns it.

    Raises:
      cli.Mistakes: the options are wrong.
      KeyboardInterrupt: it was stopped; the message says how to go on.
    """
    counts = {"count": options.count, "steps": options.steps, "batch-size": options.batch_size}
    wrong = {name: value for name, value in counts.items() if value is not None and value < 1}
    cli.Mistakes.check([f"--{name} is {value}; expected 1 or more." for name, value in wrong.items()])
    from experiments import networks
    from experiments.measure import face_sets
    from experiments.runs import settings as run_settings
    from experiments.studies import figures
    from experiments.studies.kept import Kept
    from experiments.studies.setup import Setup
    from jaxgan import InversionConfig, files, metrics

    is_search = options.name == "fewer-steps"
    source = options.images or "samples:8"
    count = options.count or (QUICK_COUNT if options.quick else None)
    steps = options.steps or (
        QUICK_STEPS if options.quick and not is_search else InversionConfig.for_task("invert").steps
    )
    generator, lpips = networks.load(options.model, tasks=TASKS.get(options.name, ()))
    faces = face_sets.load(source, generator, count=count, already_aligned=options.already_aligned)
    output = options.output or Path("outputs") / f"study-{options.name}"
    output.mkdir(parents=True, exist_ok=True)
    record = {"options": dataclasses.asdict(options), "steps": steps, "versions": run_settings.versions()}
    kept = Kept(output, record)
    setup = Setup(
        generator,
        lpips,
        metrics.whitening(generator),
        faces,
        steps=steps,
        seed=options.seed,
        batch_size=options.batch_size,
        say=cli.say,
        kept=kept,
    )
    study = importlib.import_module(f"experiments.studies.{options.name.replace('-', '_')}").study
    try:
        findings = study(setup)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{output} keeps the sweeps that are done; the same command goes on.") from None
    write_csv(output / "results.csv", findings.rows)
    figures.save(findings.figure, output / "figure.png")
    files.write_text(output / "finding.md", findings.text + "\n")
    record |= {"faces": len(setup.indices)}
    files.write_text(output / "config.json", json.dumps(record, indent=2, default=str) + "\n")
    kept.remove()
    print(findings.text)
    return findings


def write_csv(path: Path, rows: list[Row]) -> None:
    """A row per inversion, without the arrays."""
    from jaxgan import files

    kept = [{name: value for name, value in row.items() if isinstance(value, str | float | int)} for row in rows]
    names = list(dict.fromkeys(name for row in kept for name in row))
    with files.replacing(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(kept)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(StudyOptions, run, argv, prog="python -m experiments.study", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
