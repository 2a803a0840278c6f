"""What a run needs to go on to the same bits, an Orbax checkpoint of state and losses under names others can read."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxgan.errors import UserError
from jaxgan.optimization import InversionState, LossTerms


def save(folder: Path, state: InversionState, losses: LossTerms) -> None:
    """Saves a state; the one before it goes once the new one is complete.

    Raises:
      OSError: it cannot be written; the one before it is untouched.
    """
    step = int(state.step)
    tree = _to_dict({"state": state, "losses": losses})
    _check_space(folder.parent, 2 * sum(array.nbytes for array in tree.values()))
    try:
        with _manager(folder) as manager:
            if manager.latest_step() != step:
                manager.save(step, args=ocp.args.StandardSave(tree))
    except Exception as error:  # Orbax lets errors of tensorstore and of the file system through
        raise OSError(f"{folder} cannot be written: {_reason(error)}") from error


def restore(folder: Path, template: tuple[InversionState, LossTerms]) -> tuple[InversionState, LossTerms] | None:
    """State and losses that were saved last; None if nothing was yet.

    Args:
      template: gives the structure; the values do not matter.
    Raises:
      UserError: the checkpoint does not fit, or holds NaN.
    """
    with _manager(folder) as manager:
        step = manager.latest_step()
        if step is None:
            return None
        try:
            tree = manager.restore(step, args=ocp.args.StandardRestore())
        except Exception as error:  # Orbax lets errors of tensorstore and of the file system through
            raise UserError(f"{folder} cannot be read: {_reason(error)}; start again with --overwrite.") from error
    template = {"losses": template[1], "state": template[0]}
    expected = _to_dict(template)
    damaged = sorted(expected.keys() ^ tree.keys())
    for name in sorted(expected.keys() & tree.keys()):
        shape = (step,) if name.startswith("losses") else np.shape(expected[name])
        if np.shape(tree[name]) != shape or np.isnan(tree[name]).any():
            damaged.append(name)
    if damaged:
        raise UserError(f"{folder}: {', '.join(damaged)} missing, misshapen or NaN; start again with --overwrite.")
    restored = jax.tree.unflatten(jax.tree.structure(template), [tree[name] for name in expected])
    return jax.device_put(restored["state"]), restored["losses"]


def _manager(folder: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    return ocp.CheckpointManager(folder.absolute(), options=options)


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
