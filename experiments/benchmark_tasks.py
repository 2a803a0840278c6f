"""The tasks of a paper, all levels: upsampling, noise, JPEG, holes, and their compositions.

  python -m experiments.benchmark_tasks --images faces.npz --levels M --output outputs/tasks
  python -m experiments.benchmark_tasks --images faces.npz --levels XS S M L XL --count 8

Damages faces of known truth as the robust paper does, restores them and writes results.csv, summary.md (a table of all
31 tasks, empty where one was not run, with the command for it) and for each level a sheet of the first faces: the
truth, what was observed of it, and the restoration. What is finished is kept: the same command goes on, and other
levels and methods may be added.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from experiments import cli, command_line
from experiments.options import ComparedMethod, LoopOptions, default, in_group

Level = Literal["XS", "S", "M", "L", "XL"]


@dataclasses.dataclass(frozen=True)
class BenchmarkTasksOptions:
    """Options of `experiments.benchmark_tasks`."""

    images: str
    """An .npz with uint8 `images` of aligned faces, a folder of photographs, or `samples:N` of the network itself."""
    levels: tuple[Level, ...] = ("M",)
    """How strong the damages are; M has the compositions, too."""
    method: tuple[ComparedMethod, ...] = ("default",)
    """This project's loop, the projector of StyleGAN2, robust, tuned (after this project's loop), or scikit-image's."""
    output: Path = Path("outputs/tasks")
    """Folder to write; rows of an earlier run with the same settings are kept."""
    already_aligned: bool = False
    """The photographs are square face crops."""
    count: Annotated[int | None, default("all")] = None
    """Take the first so many images."""
    compositions_count: int = 4
    """Of the compositions take so many images at most."""
    batch_size: int = 8
    """Images inverted at once."""
    model: str = "demo"
    """Folder written by `python -m convert stylegan2`, or `demo`."""
    seed: int = 0
    """First seed of the damages and of the loop."""
    loop: Annotated[LoopOptions, in_group("optimisation", "How the methods default and tuned search.")] = (
        dataclasses.field(default_factory=LoopOptions)
    )


def run(options: BenchmarkTasksOptions) -> list[dict[str, Any]]:
    """Runs the command; prints the table and returns the rows of results.csv.

    Raises:
      cli.Mistakes: the options are wrong.
      KeyboardInterrupt: it was stopped; the message says how to go on.
    """
    cli.Mistakes.check(_problems(options))
    from experiments import networks
    from experiments.measure import evaluation, face_sets, levels, tables
    from jaxgan import files
    from jaxgan.tuning_steps import TuningConfig

    generator, lpips = networks.load(options.model)
    resolution = generator.config.resolution
    faces = face_sets.load(options.images, generator, count=options.count, already_aligned=options.already_aligned)
    evaluator = evaluation.Evaluator.of(generator, lpips, faces, batch_size=options.batch_size)
    table = tables.Table(options.output, dataclasses.asdict(options))
    try:
        for task in levels.all_tasks(resolution, options.levels):
            number = min(len(faces.names), options.compositions_count if len(task.tasks) > 1 else len(faces.names))
            some = face_sets.FaceSet(faces.names[:number], faces.faces[:number])
            evaluator = dataclasses.replace(evaluator, faces=some)
            for method in [method for method in options.method if levels.has_method(task, method)]:
                if not table.has(task.name, method):
                    cli.say(f"{task.name}, {method}: {number} faces")
                    settings = evaluation.settings(method, options.loop, *task.tasks)
                    seeds = [options.seed + index for index in range(number)]
                    chains = [task.chain(resolution, seed) for seed in seeds]
                    tuning = TuningConfig() if method == "tuned" else None
                    rows, pictures = evaluator.evaluate_damage(
                        task.name, method, settings, [options.seed], chains, seeds, tuning
                    )
                    tables.write_strip(options.output / "strips" / f"{task.level}-{task.name}-{method}.png", pictures)
                    table.add(rows)
                    _write(options.output, task.level)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{options.output} keeps what is finished; the same command goes on.") from None
    summary = levels.table(levels.all_tasks(resolution), table.rows, options.method, _again(options))
    files.write_text(options.output / "summary.md", summary)
    print(summary)
    return table.rows


def _write(folder: Path, level: str) -> None:
    """The sheet of a level: a strip of faces for every task and method that has been run."""
    from experiments.runs import pictures
    from jaxgan import images
    from jaxgan.photos import photo_files

    strips = sorted((folder / "strips").glob(f"{level}-*.png"))
    tiles = [(path.stem.removeprefix(f"{level}-"), photo_files.read_photo(path)) for path in strips]
    images.write_png(folder / f"level-{level}.png", pictures.sheet(tiles, columns=1, bar=18, font_size=13))


def _again(options: BenchmarkTasksOptions) -> str:
    """The command that goes on in the same folder, without levels and methods."""
    words = command_line.words(options, BenchmarkTasksOptions(options.images), without=("levels", "method"))
    return f"python -m experiments.benchmark_tasks {shlex.join(['--images', options.images, *words])}"


def _problems(options: BenchmarkTasksOptions) -> list[str]:
    problems = [
        f"--{name.replace('_', '-')} is {value}; expected 1 or more."
        for name, value in (("batch_size", options.batch_size), ("compositions_count", options.compositions_count))
        if value < 1
    ]
    try:
        options.loop.config("invert")
    except ValueError as error:
        problems.append(str(error))
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(
        BenchmarkTasksOptions, run, argv, prog="python -m experiments.benchmark_tasks", manual=__doc__
    )


if __name__ == "__main__":
    sys.exit(main())
