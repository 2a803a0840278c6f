"""Saves an inversion so that it can go on to the same bits, in an Orbax checkpoint under names that others can read.

invert(..., on_chunk=lambda state, losses: save_inversion(folder, state, losses))
invert(..., resume_from=load_inversion(folder, generator, config))
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from jaxgan import optimization
from jaxgan.errors import CheckpointError
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.optimization import InversionState, LossTerms


def save_inversion(folder: str | Path, state: InversionState, losses: LossTerms) -> None:
    """Saves how far an inversion has come; an earlier checkpoint is removed once the new one is complete.

    Args:
      folder: the folder of the checkpoints, made if needed.
      state: the state that `on_chunk` was given.
      losses: the losses of all steps up to that state, as `on_chunk` was given them.
    Raises:
      ValueError: the losses do not belong to the state.
      OSError: the checkpoint cannot be written; an earlier one is untouched.
    """
    folder, step = Path(folder), int(state.step)
    if len(losses.total) != step:
        raise ValueError(f"the state is that after {step} steps, the losses are those of {len(losses.total)}.")
    tree = _to_dict(state, losses)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _check_space(folder.parent, 2 * sum(array.nbytes for array in tree.values()))
    try:
        with _manager(folder) as manager:
            if manager.latest_step() != step:
                manager.save(step, args=ocp.args.StandardSave(tree))
    except Exception as error:  # Orbax lets errors of tensorstore and of the file system through
        raise OSError(f"{folder} cannot be written: {_reason(error)}") from error


def load_inversion(
    folder: str | Path, generator: Generator, config: InversionConfig
) -> tuple[InversionState, LossTerms] | None:
    """Loads the last checkpoint of an inversion, for `resume_from` of `jaxgan.invert`.

    Args:
      folder: the folder that was given to `save_inversion`.
      generator, config: the network and the config of the inversion.
    Returns:
      The state and the losses, or None if nothing was saved yet.
    Raises:
      CheckpointError: the checkpoint cannot be read, belongs to another network or config, or holds NaN.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return None
    with _manager(folder) as manager:
        step = manager.latest_step()
        if step is None:
            return None
        try:
            tree = manager.restore(step, args=ocp.args.StandardRestore())
        except Exception as error:  # Orbax lets errors of tensorstore and of the file system through
            raise CheckpointError(f"{folder} cannot be read: {_reason(error)}") from error
    state = jax.eval_shape(
        lambda key: optimization.initial_state(generator, jnp.zeros(generator.config.w_dim), config, key),
        jax.random.key(0),
    )
    losses = LossTerms._make(jax.ShapeDtypeStruct((step,), np.float32) for _ in LossTerms._fields)
    expected = _by_name(state, losses)
    wrong = sorted(expected.keys() ^ tree.keys())
    for name in sorted(expected.keys() & tree.keys()):
        if np.shape(tree[name]) != expected[name].shape or np.isnan(tree[name]).any():
            wrong.append(name)
    if wrong:
        raise CheckpointError(f"{folder}: {', '.join(wrong)} missing, misshapen or NaN")
    structure = jax.tree.structure({"losses": losses, "state": state})
    loaded = jax.tree.unflatten(structure, [tree[name] for name in expected])
    return jax.device_put(loaded["state"]), loaded["losses"]


def _manager(folder: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    return ocp.CheckpointManager(folder.absolute(), options=options)


def _to_dict(state: InversionState, losses: LossTerms) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in _by_name(state, losses).items()}


def _by_name(state: InversionState, losses: LossTerms) -> dict[str, Any]:
    """Returns the leaves as {"state.latents.w": leaf, ...}."""
    leaves, _ = jax.tree_util.tree_flatten_with_path({"losses": losses, "state": state})
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _reason(error: Exception) -> str:
    """Shortens an error of Orbax to the end of its first line, where the cause stands before a stack trace."""
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return line if len(line) <= 200 else f"...{line[-200:]}"


def _check_space(path: Path, needed: int) -> None:
    """Reports a full disk before Orbax meets it, because its threads print tracebacks that no `except` stops."""
    if shutil.disk_usage(path).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
