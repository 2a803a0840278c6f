"""Measure restorations of this project, the published projector and a classical method on the same faces.

  python -m experiments.evaluate --output outputs/evaluation
  python -m experiments.evaluate --task inpaint --images my_photos --restarts 4 --output outputs/mine

The command degrades faces of known truth for every task and restores them with every method. It writes results.csv (a
row per face, task, method, result and seed; a loop has two results, its reconstruction and the restoration made of it),
summary.md (means and paired differences to the default, with 95 % bootstrap intervals) and, for each task and method, a
sheet of the best, the median and the worst face by LPIPS to the truth. A command that was stopped continues if it is
repeated.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from experiments import cli
from experiments.options import ComparedMethod, DamageName, LoopOptions, default, in_group


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Options of `experiments.evaluate`."""

    output: Path = Path("outputs/evaluation")
    """Folder to write; rows of an earlier run with the same settings are kept."""
    task: tuple[DamageName, ...] = ("invert", "inpaint", "deblur", "colorize")
    """Damages to evaluate: those of the tasks, a box in a face's middle, and a severe blur (sigma 6 at 128 pixels)."""
    method: tuple[ComparedMethod, ...] = ("default", "projector", "classical")
    """This project's loop, the projector of StyleGAN2, robust, tuned (after this project's loop), or scikit-image's."""
    tune_steps: int = 350
    """The most steps of the tuning."""
    images: str = "samples:8"
    """`samples:N` of the network itself, an .npz with uint8 `images` of aligned faces, or a folder of photographs."""
    already_aligned: bool = False
    """The photographs are square face crops already; no face is looked for."""
    count: Annotated[int | None, default("all")] = None
    """Take the first so many images."""
    restarts: int = 1
    """Number of seeds for each image; the result nearest to the observation counts."""
    batch_size: int = 8
    """Number of images that are inverted at once."""
    model: str = "demo"
    """Folder written by `python -m convert stylegan2`, or `demo`."""
    seed: int = 0
    """First seed of the noise maps and of the jitter; also that of the brush strokes."""
    loop: Annotated[
        LoopOptions,
        in_group("optimisation", "How default and tuned search; robust takes --steps and --precision, too."),
    ] = dataclasses.field(default_factory=LoopOptions)
    fidelity: float = 0.0
    """Fidelity of the restorations: 0 looks best, 1 has the least squared error."""
    write_spectrum: Annotated[Path | None, default("none")] = None
    """Only measure the spectrum of the first --method's errors, which its restorations need, into this file."""


def run(options: EvaluateOptions) -> list[dict[str, Any]]:
    """Runs the command; prints the summary and returns the rows of results.csv.

    Raises:
      cli.Mistakes: the options are wrong.
      KeyboardInterrupt: it was stopped; the message says how to go on.
    """
    cli.Mistakes.check(_problems(options))
    from experiments import networks
    from experiments.measure import damages, evaluation, face_sets, spectrum, tables
    from jaxgan import files
    from jaxgan.tuning_steps import TuningConfig

    generator, lpips = networks.load(options.model, tasks=map(damages.task_of, options.task))
    faces = face_sets.load(options.images, generator, count=options.count, already_aligned=options.already_aligned)
    evaluator = evaluation.Evaluator.of(
        generator, lpips, faces, batch_size=options.batch_size, fidelity=options.fidelity
    )
    if options.write_spectrum is not None:
        method = options.method[0]
        spectrum.write(
            options.write_spectrum,
            evaluator,
            lambda task: evaluation.settings(method, options.loop, task),
            method=method,
            seed=options.seed,
        )
        return []
    table = tables.Table(options.output, dataclasses.asdict(options))
    # Without a damage there is nothing that a classical method could undo.
    pairs = [pair for pair in itertools.product(options.task, options.method) if pair != ("invert", "classical")]
    try:
        for task, method in pairs:
            if not table.has(task, method):
                settings = evaluation.settings(method, options.loop, damages.task_of(task))
                seeds = range(options.seed, options.seed + options.restarts)
                tuning = TuningConfig(steps=options.tune_steps) if method == "tuned" else None
                rows, pictures = evaluator.evaluate(task, method, settings, seeds, tuning)
                table.add(rows)
                kept = [row for row in rows if row["kept"]]
                tables.write_sheet(options.output / f"{task}-{method}.png", kept, pictures)
    except KeyboardInterrupt:
        done = sum(table.has(*pair) for pair in pairs)
        raise KeyboardInterrupt(
            f"{options.output} holds {done} of {len(pairs)} results; the same command goes on with the others."
        ) from None
    summary = "\n".join(filter(None, (tables.summarise(table.rows), tables.differences(table.rows))))
    files.write_text(options.output / "summary.md", summary)
    print(summary)
    return table.rows


def _problems(options: EvaluateOptions) -> list[str]:
    problems = [
        f"--{name.replace('_', '-')} is {value}; expected 1 or more."
        for name in ("batch_size", "restarts", "tune_steps")
        if (value := getattr(options, name)) < 1
    ]
    if not 0 <= options.fidelity <= 1:
        problems.append(f"--fidelity is {options.fidelity}; expected a number from 0 to 1.")
    if not options.method:
        problems.append("--method: expected one or more.")
    elif options.write_spectrum is not None and options.method[0] == "classical":
        problems.append("--write-spectrum measures a method that inverts, but the first --method is classical.")
    try:
        options.loop.config("invert")
    except ValueError as error:
        problems.append(str(error))
    if "robust" in options.method and options.loop.steps is not None and options.loop.steps < 3:
        problems.append(f"--steps is {options.loop.steps}; the method robust takes 3 or more.")
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(EvaluateOptions, run, argv, prog="python -m experiments.evaluate", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
