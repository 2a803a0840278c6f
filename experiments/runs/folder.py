"""The folder of one run: claimed once, checkpointed, resumable, never overwritten silently."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.runs import settings as run_settings
from jaxgan import images, inversion_files
from jaxgan.errors import CheckpointError, UserError
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.optimization import InversionState, LossTerms


def plan(output: Path, paths: Sequence[Path]) -> list[Path]:
    """The folder of each photograph: `output` itself if there is one photograph, else one inside it.

    Raises:
      UserError: two photographs would share a folder.
    """
    stems = [path.stem for path in paths]
    if twice := [stem for stem, count in Counter(stems).items() if count > 1]:
        raise UserError(
            f"several photographs are called {twice[0]!r} and would write to the same folder; rename one, "
            "or use two runs."
        )
    return [output] if len(paths) == 1 else [output / stem for stem in stems]


def of_face(folder: Path, face: int) -> Path:
    """The folder of a face of a photograph of which several are worked on.

    Raises:
      UserError: the photograph's folder holds a run of its own.
    """
    if (folder / "config.json").exists():
        raise UserError(f"{folder} holds the run of one face; choose another --output.")
    return folder / f"face-{face}"


def check_many(folders: Sequence[Path], *, resume: bool, overwrite: bool) -> None:
    """Looks, before anything runs, whether the folders of many photographs may be written; removes what is replaced.

    Raises:
      UserError: one holds something else, or runs that are neither to be continued nor replaced.
    """
    old = [folder for folder in folders if folder.exists() and (not folder.is_dir() or any(folder.iterdir()))]
    for folder in old:
        if not any((inside / "config.json").exists() for inside in (folder, *folder.glob("*"), *folder.glob("*/*"))):
            raise UserError(f"{folder} exists and is no run of this program; choose another --output.")
        if not resume and not overwrite:
            raise UserError(
                f"{folder} holds another run; add --resume to continue it, --overwrite to replace it, "
                "or choose another --output."
            )
    for folder in old if overwrite else ():
        shutil.rmtree(folder)


def result(folder: Path) -> dict[str, Any] | None:
    """The metrics of a finished run; None for any other folder."""
    record = _read_record(folder)
    return None if record is None else record.get("result")


def copy_record(source: Path, target: Path, **facts: Any) -> None:
    """Writes the config.json of a finished run into another folder, with more facts in it."""
    _write_record(target, _read_record(source) | facts)


class RunFolder:
    """Output folder of one photograph.

    Attributes:
      path: the folder.
      is_finished: an earlier run wrote all of it.
    """

    def __init__(self, path: Path, record: dict[str, Any]):
        self.path = path
        self._record = record
        self._last_checkpoint = time.monotonic()

    @property
    def is_finished(self) -> bool:
        return self._record["finished"] is not None

    @classmethod
    def claim(cls, claims: dict[Path, dict[str, Any]], *, resume: bool, overwrite: bool) -> list[RunFolder]:
        """Makes the folders, or takes up those of an earlier run: all of them or, if one cannot be had, none.

        Args:
          claims: the settings of each folder.
          resume: continue what is found.
          overwrite: replace it.
        Raises:
          UserError: a folder holds something else, or (when resuming) a run of other settings.
          OSError: a folder cannot be made.
        """
        found = {path: _read_record(path) if resume else None for path in claims}
        for path, settings in claims.items():
            _check_claim(path, settings, resume=resume, overwrite=overwrite)
        made: list[Path] = []
        try:
            return [cls(path, found[path] or _make(path, settings, made)) for path, settings in claims.items()]
        except BaseException:
            for path in made:
                shutil.rmtree(path, ignore_errors=True)
            raise

    def seconds_since_checkpoint(self) -> float:
        """Age of the last checkpoint, or of this object."""
        return time.monotonic() - self._last_checkpoint

    def checkpoint(self, state: InversionState, losses: LossTerms) -> None:
        """Saves what is needed to continue.

        Raises:
          OSError: it cannot be written; the one before it is untouched.
        """
        inversion_files.save_inversion(self.path / "latents", state, losses)
        self._last_checkpoint = time.monotonic()

    def restore(self, generator: Generator, config: InversionConfig) -> tuple[InversionState, LossTerms] | None:
        """State and losses of the last checkpoint; None if there is none yet.

        Raises:
          UserError: the checkpoint does not fit, or holds NaN.
        """
        try:
            return inversion_files.load_inversion(self.path / "latents", generator, config)
        except CheckpointError as error:
            raise UserError(f"{error}; start again with --overwrite.") from error

    def write_snapshot(self, step: int, image: jax.Array) -> None:
        """Keeps a picture of the iterate for `progress.gif`."""
        folder = self.path / "snapshots"
        folder.mkdir(exist_ok=True)
        images.write_png(folder / f"step_{step:06d}.png", np.asarray(image))

    def snapshots(self) -> list[Path]:
        """All pictures of iterates, in the order of steps."""
        return sorted((self.path / "snapshots").glob("step_*.png"))

    def finish(self, result: dict[str, Any]) -> None:
        """Writes the results into config.json: from here on the run counts as finished."""
        self._record = {**self._record, "finished": _now(), "result": result}
        _write_record(self.path, self._record)


def _check_claim(path: Path, settings: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
    found = _read_record(path)
    if resume and found is not None:
        if differing := run_settings.differences(found["settings"], settings):
            raise UserError(
                f"{path} was started with other settings ({'; '.join(differing)}); repeat its command to resume it, "
                "or choose another --output."
            )
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        if found is None:
            raise UserError(f"{path} exists and is no run of this program; choose another --output.")
        if not overwrite:
            raise UserError(
                f"{path} holds another run; add --resume to continue it, --overwrite to replace it, "
                "or choose another --output."
            )


def _make(path: Path, settings: dict[str, Any], made: list[Path]) -> dict[str, Any]:
    """Makes an empty run folder and its record; what had to be created is added to `made`."""
    if path.exists() and any(path.iterdir()):
        shutil.rmtree(path)
    made += [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    record = {
        "settings": settings,
        "versions": run_settings.versions(),
        "started": _now(),
        "finished": None,
        "result": None,
    }
    _write_record(path, record)
    return record


def _write_record(path: Path, record: dict[str, Any]) -> None:
    partial = path / ".config.json"
    partial.write_text(json.dumps(record, indent=2) + "\n")
    os.replace(partial, path / "config.json")


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((path / "config.json").read_text())
        return record if {"settings", "finished"} <= record.keys() else None
    except (OSError, ValueError, AttributeError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
