"""The photographs that a command works on, each with all that is asked for it and the folder for its results."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments import validation
from experiments.cli import Mistakes, say
from experiments.options import Completion, Damage, FaceChoice, InvertOptions, Start, starts_of
from experiments.restore import json_values
from jaxgan.methods import Method
from jaxgan.photos.finding import find_photos
from jaxgan.tuning_steps import TuningConfig

OF_ONE_JOB = {
    "damage": tuple(field.name for field in dataclasses.fields(Damage) if field.name != "already_degraded"),
    "completion": tuple(field.name for field in dataclasses.fields(Completion)),
    "photographs": ("crop",),
    "faces": ("face",),
    "seeds": ("seed", "init"),
    "approach": ("method", "tune", "tune_steps"),
    "loop": (
        "steps",
        "patience",
        "stop_after",
        "learning_rate",
        "latent_space",
        "objective",
        "latent_dist_reg_weight",
        "noise_reg_weight",
    ),
}
"""Options that a line of a list of jobs may set for its photograph, by their group."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A photograph to restore.

    Attributes:
      path: the file.
      folder: where its results go; its name is that of the photograph among others.
      damage, completion, faces, already_aligned, crop: as the user gave them.
      method, inversion: the name and the settings of the inversion of every face.
      tuning: the settings of the tuning that follows it; None for none.
      seeds: one or more; each has a folder of its own if there are several.
      init: latents to begin with, see `latent_files.split`; None for a guess.
      paste_format: format of the whole photograph that is pasted together, None for none.
      snapshot_every: steps between two pictures of the iterate.
      checkpoint_seconds: time between two checkpoints.
      networks: where the networks were loaded from, and the label, for the record.
      uncertainty: how many starts of the only seed are compared; None for the guess alone.
      keep: folder of the one of several starts whose result is taken; None for the nearest to the observation.
    """

    path: Path
    folder: Path
    damage: Damage
    completion: Completion
    faces: FaceChoice
    already_aligned: bool
    crop: str | None
    method: str
    inversion: Method
    tuning: TuningConfig | None
    seeds: tuple[int, ...]
    init: str | None
    paste_format: str | None
    snapshot_every: int
    checkpoint_seconds: float
    networks: dict[str, Any]
    uncertainty: int | None = None
    keep: str | None = None

    @classmethod
    def of(cls, path: Path, folder: Path, options: InvertOptions) -> Job:
        """The job of a photograph; the options are valid."""
        return cls(
            path=path,
            folder=folder,
            damage=options.damage,
            completion=options.completion,
            faces=options.faces,
            already_aligned=options.photographs.already_aligned,
            crop=options.photographs.crop,
            method=options.approach.method,
            inversion=options.loop.method(options.approach.method, options.damage.task, *options.damage.also),
            tuning=options.approach.tuning(),
            seeds=options.seeds.all,
            keep=options.seeds.keep,
            init=options.seeds.init,
            paste_format=options.output.paste_format if options.output.paste_back else None,
            snapshot_every=options.output.snapshot_every,
            checkpoint_seconds=options.output.checkpoint_seconds,
            networks=dataclasses.asdict(options.networks) | {"lpips": str(options.networks.lpips)},
            uncertainty=options.seeds.uncertainty,
        )

    @property
    def name(self) -> str:
        """The photograph's name among others."""
        return self.folder.name

    @property
    def starts(self) -> tuple[Start, ...]:
        """The inversions of each face."""
        return starts_of(self.seeds, self.uncertainty)

    @property
    def steps_of_run(self) -> int:
        """The largest number of steps of one face and start."""
        return self.inversion.steps + (self.tuning.steps if self.tuning is not None else 0)

    @property
    def total_steps(self) -> int:
        """The largest number of steps of one face with all its starts."""
        return self.steps_of_run * len(self.starts)


class Collected(NamedTuple):
    """The photographs of a command.

    Attributes:
      jobs: those of its shard, if it has one.
      root: the output folder.
      is_single: the results of the only photograph go into `root` itself, without a manifest; those of several go into
        folders inside it.
    """

    jobs: list[Job]
    root: Path
    is_single: bool


def collect(options: InvertOptions, *, default: Path, device_count: int) -> Collected:
    """Finds all photographs of a command, and checks everything that is asked for.

    Args:
      options: of the command.
      default: the photograph where none is named.
      device_count: how many devices share a batch.
    Raises:
      Mistakes: something is wrong with an option, with lines of a list of jobs, or with the files that are named.
    """
    photographs, root = options.photographs, options.output.output
    if photographs.jobs is None or photographs.image:  # both together are told by `validate`
        paths = find(photographs.image or (default,))
        Mistakes.check(validation.validate(options, photograph_count=len(paths), device_count=device_count))
        pairs = [(path, options) for path in paths]
    else:
        pairs = _read(photographs.jobs, options, device_count)
    if len(pairs) == 1 and photographs.shard is None and photographs.jobs is None:
        path, _ = pairs[0]
        root = root or Path("outputs") / f"{options.damage.task}-{path.stem}"
        return Collected([Job.of(path, root, options)], root, is_single=True)
    root = root or Path("outputs") / options.damage.task
    names = [path.stem for path, _ in pairs]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise Mistakes(
            f"several photographs are called {twice[0]!r} and would write to the same folder; rename one, "
            "or use two runs."
        )
    jobs = [Job.of(path, root / name, of_one) for name, (path, of_one) in zip(names, pairs, strict=True)]
    if photographs.shard is not None:
        index, count = validation.shard(photographs.shard)
        jobs = jobs[index - 1 :: count]
    return Collected(jobs, root, is_single=False)


def find(images: Sequence[Path]) -> list[Path]:
    """Finds the photographs that the arguments name, and says what else lay in their folders.

    Raises:
      UserError: as `find_photos`.
    """
    found = find_photos(images)
    if found.note:
        say(f"{found.note}.")
    return list(found.photos)


def _read(path: Path, options: InvertOptions, device_count: int) -> list[tuple[Path, InvertOptions]]:
    """Reads a list of jobs: a JSON object a line, with "image" and any option of `OF_ONE_JOB` under its Python name.

    Relative paths start at the list's folder.

    Raises:
      Mistakes: lines are no such objects, or ask for what `validation.validate` refuses; all of them are listed.
    """
    pairs: list[tuple[Path, InvertOptions]] = []
    wrong: dict[str, list[int]] = {}  # what is wrong -> the lines it is wrong in
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Mistakes(f"{path} is no text in UTF-8.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        image, of_line, problems = _read_line(line, path.parent, options)
        problems = problems or validation.validate(of_line, device_count=device_count)
        for problem in problems:
            wrong.setdefault(problem, []).append(number)
        pairs.append((image, of_line))
    if wrong:
        raise Mistakes(*(f"{path}, line {_numbers(lines)}: {problem}" for problem, lines in wrong.items()))
    if not pairs:
        raise Mistakes(f"{path} lists no job.")
    return pairs


def _read_line(line: str, folder: Path, options: InvertOptions) -> tuple[Path, InvertOptions, list[str]]:
    """The photograph of a line, its options, and what is wrong with them."""
    try:
        job = json.loads(line, object_pairs_hook=_once_each)
    except json.JSONDecodeError as error:
        return folder, options, [f"it is no JSON: {error}."]
    except (ValueError, RecursionError) as error:
        return folder, options, [f"it cannot be read: {error}."]
    if not isinstance(job, dict) or not isinstance(job.get("image"), str):
        return folder, options, ['expected an object with "image", the name of a file.']
    image = folder / job.pop("image")
    problems, changed = [], {}
    for group, names in OF_ONE_JOB.items():
        given = {name: job.pop(name) for name in names if name in job}
        values, wrong = json_values.read(type(getattr(options, group)), given)
        problems += wrong
        if values.get("mask") is not None:
            values["mask"] = folder / values["mask"]
        if values.get("degradation") is not None:
            values["degradation"] = str(folder / values["degradation"])
        if values.get("init") is not None:
            values["init"] = str(folder / values["init"])
        changed[group] = dataclasses.replace(getattr(options, group), **values)
    if job:
        known = ", ".join(("image", *(name for names in OF_ONE_JOB.values() for name in names)))
        problems.append(f"{', '.join(sorted(job))}: no option of a job; known are {known}.")
    return image, dataclasses.replace(options, **changed), problems


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these names and values; of two values of a name JSON keeps the last, which nobody would notice."""
    twice = sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    if twice:
        raise ValueError(f"{', '.join(twice)} given twice")
    return dict(pairs)


def _numbers(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:10]))
    return shown if len(lines) <= 10 else f"{shown} and {len(lines) - 10} more"
