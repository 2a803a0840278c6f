"""The folder of one run: claimed once, checkpointed, resumable, never overwritten silently."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.runs import settings as run_settings
from experiments.runs.lock import Lock
from jaxgan import files, images, inversion_files, tuning_files
from jaxgan.errors import CheckpointError, UserError
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.optimization import InversionState, LossTerms
from jaxgan.photos import photo_files
from jaxgan.tuning_steps import TuningConfig, TuningState, TuningTerms

FORMAT = {"format": "jaxgan-run", "format_version": 3}
"""Stands in config.json: the mark of this program, without which a folder is never deleted."""


def of_face(folder: Path, face: int) -> Path:
    """The folder of a face of a photograph of which several are worked on.

    Raises:
      UserError: the photograph's folder holds a run of its own.
    """
    if (folder / "config.json").exists():
        raise UserError(f"{folder} holds the run of one face; choose another --output.")
    return folder / f"face-{face}"


def check_kept(folder: Path, start: str) -> None:
    """Looks whether a folder may get the result of the best of several starts.

    Args:
      folder: of a face.
      start: names the folder of one of the starts, inside it.
    Raises:
      UserError: it holds the result of something else than starts of that kind.
    """
    record = _read_record(folder)
    if record is not None and record.get("kept", "").rpartition("-")[0] != start.rpartition("-")[0]:
        raise UserError(f"{folder} holds another run; add --overwrite to replace it, or choose another --output.")


def restored(folder: Path, format_name: str) -> Path:
    """The file of a whole photograph in its folder."""
    return folder / f"restored{photo_files.SUFFIXES[format_name]}"


def check_many(folders: Sequence[Path], *, resume: bool, overwrite: bool) -> list[Path]:
    """Looks, before anything runs, whether the folders of many photographs may be written.

    Returns:
      The folders that an earlier run left.
    Raises:
      UserError: one holds something else, or runs that are neither to be continued nor replaced.
    """
    earlier = [folder for folder in folders if _is_occupied(folder)]
    for folder in earlier:
        if not _runs(folder) and _others(folder):
            raise UserError(f"{folder} exists and is no run of this program; choose another --output.")
        if not resume and not overwrite:
            raise UserError(_HOLDS_ANOTHER.format(path=folder))
    return earlier


def remove(folder: Path) -> None:
    """Deletes the runs in the folder of a photograph, and what was pasted together of them; nothing else.

    Raises:
      UserError: another process works on a run.
    """
    for run in reversed(_runs(folder)):
        with Lock(run) as lock:
            _empty(lock)
        if run != folder:
            run.rmdir()
            _remove_if_empty(run.parent)
    for file in folder.glob("restored[._]*") if folder.is_dir() else ():
        file.unlink()


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _runs(folder: Path) -> list[Path]:
    """The runs in the folder of a photograph: itself, those of its faces and of their starts, outer ones first."""
    patterns = ("face-*", "seed-*", "sample-*", "face-*/seed-*", "face-*/sample-*")
    inside = [folder, *(path for pattern in patterns for path in folder.glob(pattern))]
    return [path for path in inside if _read_record(path) is not None]


def _others(folder: Path) -> bool:
    """Whether there is anything but whole photographs that were pasted together."""
    return not folder.is_dir() or any(not file.name.startswith(("restored.", "restored_")) for file in folder.iterdir())


def _is_occupied(path: Path) -> bool:
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


_HOLDS_ANOTHER = (
    "{path} holds another run; add --resume to continue it, --overwrite to replace it, or choose another --output."
)


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

    def __init__(self, path: Path, record: dict[str, Any], lock: Lock):
        self.path = path
        self._record = record
        self._lock = lock
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
        made: list[Path] = []
        locks: dict[Path, Lock] = {}
        try:
            runs = []
            for path in claims:
                if path.exists() and not path.is_dir():
                    raise UserError(f"{path} exists and is no run of this program; choose another --output.")
                made += [folder for folder in (path, *path.parents) if not folder.exists()]
                path.mkdir(parents=True, exist_ok=True)
                locks[path] = Lock(path).acquire()
            for path, settings in claims.items():
                _check_claim(locks[path], settings, resume=resume, overwrite=overwrite)
            for path, settings in claims.items():
                record = _read_record(path) if resume else None
                runs.append(cls(path, record or _make(locks[path], settings), locks[path]))
                if runs[-1].is_finished:
                    locks[path].release()
            return runs
        except BaseException:
            for lock in locks.values():
                lock.release()
            for path in sorted(made, key=lambda path: len(path.parts), reverse=True):
                if path in claims:
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    _remove_if_empty(path)  # another process may have made folders in it
            raise

    def release(self) -> None:
        """Lets other processes write into the folder."""
        self._lock.release()

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
        return _restored(inversion_files.load_inversion, self.path / "latents", generator, config)

    def checkpoint_tuning(self, state: TuningState, losses: TuningTerms) -> None:
        """Saves what is needed to continue a tuning; it goes when the run is finished.

        Raises:
          OSError: it cannot be written; the one before it is untouched.
        """
        tuning_files.save_tuning(self.path / "tuning", state, losses)
        self._last_checkpoint = time.monotonic()

    def restore_tuning(self, generator: Generator, config: TuningConfig) -> tuple[TuningState, TuningTerms] | None:
        """State and losses of a tuning's last checkpoint; None if there is none yet.

        Raises:
          UserError: the checkpoint does not fit, or holds NaN.
        """
        return _restored(tuning_files.load_tuning, self.path / "tuning", generator, config)

    def write_snapshot(self, step: int, image: jax.Array) -> None:
        """Keeps a picture of the iterate for `progress.gif`."""
        folder = self.path / "snapshots"
        folder.mkdir(exist_ok=True)
        images.write_png(folder / f"step_{step:06d}.png", np.asarray(image))

    def snapshots(self) -> list[Path]:
        """All pictures of iterates, in the order of steps."""
        return sorted((self.path / "snapshots").glob("step_*.png"))

    def finish(self, result: dict[str, Any], **facts: Any) -> None:
        """Writes the results, and other facts, into config.json: from here on the run counts as finished."""
        self._record = {**self._record, "finished": _now(), "result": result, **facts}
        _write_record(self.path, self._record)
        shutil.rmtree(self.path / "tuning", ignore_errors=True)
        self._lock.release()


def _restored(load: Callable[..., Any], folder: Path, generator: Generator, config: Any) -> Any:
    """Whatever `load` finds in a folder of checkpoints; its errors say what to do."""
    try:
        return load(folder, generator, config)
    except CheckpointError as error:
        raise UserError(f"{error}; start again with --overwrite.") from error


def _check_claim(lock: Lock, settings: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
    path = lock.path.parent
    found = _read_record(path)
    if found is None and not all(lock.is_file_of_it(file) for file in path.iterdir()):
        raise UserError(f"{path} exists and is no run of this program; choose another --output.")
    if found is not None and not resume and not overwrite:
        raise UserError(_HOLDS_ANOTHER.format(path=path))
    if found is not None and resume and (differing := run_settings.differences(found["settings"], settings)):
        raise UserError(
            f"{path} was started with other settings ({'; '.join(differing)}); repeat its command to resume it, "
            "or choose another --output."
        )


def _make(lock: Lock, settings: dict[str, Any]) -> dict[str, Any]:
    """Empties a run folder and writes a new record into it."""
    path = lock.path.parent
    _empty(lock)
    record = FORMAT | {
        "settings": settings,
        "versions": run_settings.versions(),
        "started": _now(),
        "finished": None,
        "result": None,
    }
    _write_record(path, record)
    return record


def _empty(lock: Lock) -> None:
    """Deletes everything in a run folder but its lock; config.json, its mark, last."""
    for inside in sorted(lock.path.parent.iterdir(), key=lambda inside: inside.name == "config.json"):
        if inside.is_dir() and not inside.is_symlink():
            shutil.rmtree(inside)
        elif not lock.is_file_of_it(inside):
            inside.unlink()


def _write_record(path: Path, record: dict[str, Any]) -> None:
    files.write_text(path / "config.json", json.dumps(record, indent=2) + "\n")


def _read_record(path: Path) -> dict[str, Any] | None:
    """The record of a run; None if there is none of this program.

    Raises:
      UserError: another version of this program wrote it.
    """
    try:
        record = json.loads((path / "config.json").read_text())
        mark = {name: record.get(name) for name in FORMAT}
        is_unmarked = "format" not in record and {"settings", "finished"} <= record.keys()  # as the first version wrote
    except (OSError, ValueError, AttributeError):
        return None
    if is_unmarked or (mark["format"] == FORMAT["format"] and mark != FORMAT):
        raise UserError(
            f"{path} holds a run of another version of this program (format {mark['format_version'] or 1}, this "
            f"version reads {FORMAT['format_version']}); choose another --output."
        )
    return record if mark == FORMAT else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
