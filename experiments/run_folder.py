"""The folder of one run: claimed once, checkpointed, resumable, never overwritten silently."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import platform
import shutil
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxgan import checkpoints, images
from jaxgan.errors import UserError
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.optimization import InversionState, LossTerms

if TYPE_CHECKING:
    from experiments.invert import Config

LARGEST_CHUNK = 25
"""Steps between two looks at the clock: half a second to a few seconds of work."""


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


def key_for(seed: int, path: Path, face: int = 0) -> jax.Array:
    """The key of a face: from the seed, the photograph's file name and the face, never from its place among others."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(path.name.encode()))
    return jax.random.fold_in(key, face) if face else key


def chunk_steps(snapshot_every: int) -> int:
    """The longest chunk that ends at every snapshot."""
    return max(length for length in range(1, LARGEST_CHUNK + 1) if snapshot_every % length == 0)


def options(config: Config) -> dict[str, Any]:
    """The options that decide a result; the others are recorded elsewhere, or have no effect on it."""
    places = ("image", "jobs", "output", "resume", "overwrite", "checkpoint_seconds", "paste_back", "paste_format")
    company = ("batch_size", "shard", "cluster", "seeds", "restarts")
    return {k: v for k, v in dataclasses.asdict(config).items() if k not in (*places, *company)}


def settings(config: Config, inversion: InversionConfig, path: Path, generator: Generator) -> dict[str, Any]:
    """What decides the result of a run: a resumed run must agree in all of it."""
    facts = {
        "options": options(config),
        "inversion": dataclasses.asdict(inversion),
        "image": str(path),
        "image_sha256": checkpoints.sha256(path),
        "mask_sha256": None if config.mask is None else checkpoints.sha256(config.mask),
        "landmarks_sha256": [checkpoints.sha256(file) for file in config.landmarks],
        "generator": dataclasses.asdict(generator.config),
    }
    return json.loads(json.dumps(facts, default=str))  # as a file gives it back, so that the two can be compared


def versions() -> dict[str, str]:
    """Versions of what computed the result, and the machine."""
    packages = {
        name: metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    }
    return {
        **packages,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": str(jax.devices()[0]),
    }


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
        step = int(state.step)
        tree = _to_dict({"state": state, "losses": losses})
        _check_space(self.path, 2 * sum(array.nbytes for array in tree.values()))
        try:
            with self._manager() as manager:
                if manager.latest_step() != step:
                    manager.save(step, args=ocp.args.StandardSave(tree))
        except Exception as error:  # Orbax lets errors of tensorstore and of the file system through
            raise OSError(f"{self.path / 'latents'} cannot be written: {_reason(error)}") from error
        self._last_checkpoint = time.monotonic()

    def restore(self, template: tuple[InversionState, LossTerms]) -> tuple[InversionState, LossTerms] | None:
        """State and losses of the last checkpoint; None if there is none yet.

        Args:
          template: gives the structure; the values do not matter.
        Raises:
          UserError: the checkpoint does not fit, or holds NaN.
        """
        with self._manager() as manager:
            step = manager.latest_step()
            if step is None:
                return None
            try:
                tree = manager.restore(step, args=ocp.args.StandardRestore())
            except Exception as error:  # Orbax lets errors of tensorstore and of the file system through
                raise UserError(
                    f"{self.path / 'latents'} cannot be read: {_reason(error)}; start again with --overwrite."
                ) from error
        template = {"losses": template[1], "state": template[0]}
        expected = _to_dict(template)
        damaged = sorted(expected.keys() ^ tree.keys())
        for name in sorted(expected.keys() & tree.keys()):
            shape = (step,) if name.startswith("losses") else np.shape(expected[name])
            if np.shape(tree[name]) != shape or np.isnan(tree[name]).any():
                damaged.append(name)
        if damaged:
            raise UserError(
                f"{self.path / 'latents'}: {', '.join(damaged)} missing, misshapen or NaN; "
                "start again with --overwrite."
            )
        restored = jax.tree.unflatten(jax.tree.structure(template), [tree[name] for name in expected])
        return jax.device_put(restored["state"]), restored["losses"]

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

    def _manager(self) -> ocp.CheckpointManager:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        return ocp.CheckpointManager((self.path / "latents").absolute(), options=options)


def _check_claim(path: Path, settings: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
    found = _read_record(path)
    if resume and found is not None:
        if differing := differences(found["settings"], settings):
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
    record = {"settings": settings, "versions": versions(), "started": _now(), "finished": None, "result": None}
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


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """What differs between two trees of settings, a phrase each."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for k in sorted(old.keys() | new.keys()) for line in differences(old.get(k), new.get(k), k)]
    return [] if old == new else [f"{name}: {old} then, {new} now"]


def _to_dict(tree: Any) -> dict[str, np.ndarray]:
    """Flattens to {"state.latents.w": array, ...}, names that other tools can read."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in leaves}


def _reason(error: Exception) -> str:
    """The end, where the cause stands, of the first line of an error of Orbax; the others hold a stack trace."""
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return line if len(line) <= 200 else f"...{line[-200:]}"


def _check_space(path: Path, needed: int) -> None:
    """Tells of a full disk before Orbax meets it, whose threads print their tracebacks past any `except`."""
    if shutil.disk_usage(path).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
