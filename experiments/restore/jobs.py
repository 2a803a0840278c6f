"""Which photographs a command works on: files, folders, patterns or a list of jobs; and a share of them."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from jaxgan.errors import UserError
from jaxgan.photos.finding import find_photos

if TYPE_CHECKING:
    from experiments.invert import Config

OF_ONE_JOB = (
    *("task", "also", "face", "seed", "mask", "mask_kind", "mask_seed", "mask_box"),
    *("kernel_size", "sigma", "assume_kernel_size", "assume_sigma"),
    *("steps", "patience", "learning_rate", "latent_space", "latent_dist_reg_weight", "noise_reg_weight"),
)
"""Options that a line of a list of jobs may set for its photograph."""


Item = TypeVar("Item")


class Source(NamedTuple):
    """A photograph and the options that hold for it."""

    path: Path
    config: Config


def collect(config: Config, *, default: Path) -> list[Source]:
    """All photographs of a command, with the options of each.

    Raises:
      UserError: as `find` and `read_jobs`, or options exclude each other.
    """
    if config.jobs is None:
        return [Source(path, config) for path in find(config.image or (default,))]
    if config.image:
        raise UserError("--image and --jobs exclude each other; leave one out.")
    return read_jobs(config.jobs, config)


def find(images: Sequence[Path]) -> list[Path]:
    """Finds the photographs that the arguments name, and says what else lay in their folders.

    Raises:
      UserError: as `find_photos`.
    """
    found = find_photos(images)
    if found.note:
        print(f"{found.note}.", file=sys.stderr)
    return list(found.photos)


def read_jobs(path: Path, config: Config) -> list[Source]:
    """Reads a list of jobs: a JSON object a line, with "image" and any option of `OF_ONE_JOB` under its Python name.

    Relative paths start at the list's folder.

    Raises:
      UserError: a line is not such an object.
    """
    sources = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if line.strip():
            try:
                job = json.loads(line)
                image = path.parent / job.pop("image")
                sources.append(Source(image, dataclasses.replace(config, **_options(job, path.parent))))
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                reason = 'it has no "image"' if isinstance(error, KeyError) else str(error)
                raise UserError(f"{path}, line {number}: {reason}.") from None
    if not sources:
        raise UserError(f"{path} lists no job.")
    return sources


def _options(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    if unknown := sorted(job.keys() - set(OF_ONE_JOB)):
        raise ValueError(f"{', '.join(unknown)}: no option of a job; known are image, {', '.join(OF_ONE_JOB)}")
    if job.get("task", "invert") not in ("invert", "inpaint", "deblur", "colorize"):
        raise ValueError(f"{job['task']!r} is no task")
    numbers = ("seed", "mask_seed", "kernel_size", "sigma", "assume_kernel_size", "assume_sigma", "steps")
    for name in (*numbers, "learning_rate", "latent_dist_reg_weight", "noise_reg_weight"):
        if not isinstance(job.get(name, 0), int | float):
            raise ValueError(f"{name} is {job[name]!r}, no number")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in job.items()}
    return given | ({"mask": folder / given["mask"]} if "mask" in given else {})


def check_batch_size(size: int | str, devices: int) -> None:
    """Checks `--batch-size`.

    Raises:
      UserError: it is no number that the devices can share.
    """
    if size != "auto" and (size < 1 or size % devices):
        some = "1 or more" if devices == 1 else f"a multiple of the {devices} devices"
        raise UserError(f"--batch-size is {size}; expected {some}, or auto.")


def share(sources: list[Item], shard: str | None) -> list[Item]:
    """Every N-th one, beginning with the I-th, for "I/N" with I from 1 to N; all of them for None.

    Raises:
      UserError: the text is something else.
    """
    if shard is None:
        return sources
    try:
        index, count = map(int, shard.split("/"))
    except ValueError:
        index = count = 0
    if not 1 <= index <= count:
        raise UserError(f"--shard is {shard!r}; expected I/N with I from 1 to N, like 2/8.")
    return sources[index - 1 :: count]
