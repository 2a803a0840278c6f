"""Several seeds for a face: a folder each, and the best of them in the folder around."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.runs import folder as run_folder
from experiments.runs.folder import RunFolder
from jaxgan.errors import UserError

if TYPE_CHECKING:
    from experiments.invert import Config


def seeds(config: Config) -> tuple[int, ...]:
    """The seeds asked for: `--seeds`, or `--restarts` of them from `--seed` on."""
    return config.seeds or tuple(range(config.seed, config.seed + config.restarts))


def check(config: Config) -> None:
    """Checks the options.

    Raises:
      UserError: they exclude each other, or a number is none.
    """
    if config.seeds and config.restarts != 1:
        raise UserError("--seeds and --restarts exclude each other; leave one out.")
    if config.restarts < 1:
        raise UserError(f"--restarts is {config.restarts}; expected 1 or more.")
    if len(set(config.seeds)) < len(config.seeds):
        raise UserError("--seeds: a seed is given twice.")
    if config.seeds and config.seed != 0:
        raise UserError("--seed has no effect with --seeds; leave one out.")


def are_several(config: Config) -> bool:
    """Whether every seed gets a folder of its own."""
    return len(seeds(config)) > 1


def configs(config: Config) -> list[Config]:
    """The options for each seed."""
    return [dataclasses.replace(config, seed=seed, seeds=(), restarts=1) for seed in seeds(config)]


def folder(face: Path, config: Config, seed: int) -> Path:
    """The folder of a seed."""
    return face / f"seed-{seed}" if are_several(config) else face


def keep_best(face: Path, runs: Sequence[RunFolder]) -> None:
    """Copies the run whose degraded image is nearest to the observation (in LPIPS) into the folder around them all.

    Its config.json, written last, lists the others under "restarts".
    """
    distances = {run.path.name: run_folder.result(run.path)["against_observed"]["lpips"] for run in runs}
    best = min(runs, key=lambda run: distances[run.path.name])
    shutil.copytree(best.path, face, dirs_exist_ok=True, ignore=shutil.ignore_patterns("config.json", "latents"))
    shutil.rmtree(face / "latents", ignore_errors=True)
    shutil.copytree(best.path / "latents", face / "latents")
    run_folder.copy_record(best.path, face, kept=best.path.name, restarts=distances)
