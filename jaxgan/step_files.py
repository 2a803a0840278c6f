"""Keeps the state of a loop on disk: one Orbax checkpoint at a time, of arrays under names that others can read."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxgan.errors import CheckpointError


def save(folder: str | Path, step: int, tree: Any) -> None:
    """Saves a pytree of arrays; what was saved before goes once the new checkpoint is complete.

    Args:
      folder: the folder of the checkpoints, which is made if needed.
      step: the step of the loop. Nothing is written if its checkpoint is there already.
      tree: the arrays, as {"state": ..., ...}.
    Raises:
      OSError: it cannot be written; what was saved before is untouched.
    """
    folder = Path(folder)
    arrays = {name: np.asarray(leaf) for name, leaf in _by_name(tree).items()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    _check_space(folder.parent, 2 * sum(array.nbytes for array in arrays.values()))
    try:
        with _manager(folder) as manager:
            if manager.latest_step() != step:
                manager.save(step, args=ocp.args.StandardSave(arrays))
    except Exception as error:  # Orbax lets errors of tensorstore and of the file system through
        raise OSError(f"{folder} cannot be written: {_reason(error)}") from error


def load(folder: str | Path) -> tuple[int, dict[str, np.ndarray]] | None:
    """Loads the last checkpoint.

    Args:
      folder: the folder given to `save`.
    Returns:
      The step and the arrays by their names; None if nothing was saved yet.
    Raises:
      CheckpointError: the checkpoint cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return None
    with _manager(folder) as manager:
        step = manager.latest_step()
        if step is None:
            return None
        try:
            return step, manager.restore(step, args=ocp.args.StandardRestore())
        except Exception as error:  # Orbax lets errors of tensorstore and of the file system through
            raise CheckpointError(f"{folder} cannot be read: {_reason(error)}") from error


def fill(tree: Any, arrays: dict[str, np.ndarray], folder: str | Path) -> Any:
    """Puts loaded arrays into a pytree of shapes.

    Args:
      tree: a pytree of arrays or `jax.ShapeDtypeStruct`s.
      arrays: the arrays that `load` returned.
      folder: the folder that an error names.
    Raises:
      CheckpointError: arrays are missing, too many, misshapen or hold NaN.
    """
    expected = _by_name(tree)
    wrong = sorted(expected.keys() ^ arrays.keys())
    for name in sorted(expected.keys() & arrays.keys()):
        if np.shape(arrays[name]) != expected[name].shape or np.isnan(arrays[name]).any():
            wrong.append(name)
    if wrong:
        raise CheckpointError(f"{folder}: {', '.join(wrong)} missing, misshapen or NaN")
    return jax.tree.unflatten(jax.tree.structure(tree), [arrays[name] for name in expected])


def _manager(folder: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    return ocp.CheckpointManager(folder.absolute(), options=options)


def _by_name(tree: Any) -> dict[str, Any]:
    """Names the leaves as {"state.latents.w": leaf, ...}, in their order in the tree."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _reason(error: Exception) -> str:
    """The end, where the cause stands, of the first line of an error of Orbax; the others hold a stack trace."""
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return line if len(line) <= 200 else f"...{line[-200:]}"


def _check_space(path: Path, needed: int) -> None:
    """Tells of a full disk before Orbax meets it, whose threads print their tracebacks past any `except`."""
    if shutil.disk_usage(path).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
