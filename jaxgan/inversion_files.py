"""An inversion on disk, so that it can go on to the same bits: an Orbax checkpoint under names others can read.

invert(..., on_chunk=lambda state, losses: save_inversion(folder, state, losses))
invert(..., resume_from=load_inversion(folder, generator, config))
"""

from __future__ import annotations

import errno
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PRNGKeyArray

from jaxgan import optimization
from jaxgan.errors import CheckpointError
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.methods import Method
from jaxgan.optimization import InversionState, LossTerms


def save_inversion(folder: str | Path, state: InversionState, losses: LossTerms) -> None:
    """Saves how far an inversion has come; what was saved before goes once the new checkpoint is complete.

    Args:
      folder: of the checkpoints, made if needed.
      state: what `on_chunk` was given.
      losses: of all steps up to that state.
    Raises:
      ValueError: the losses are not those of the state.
      OSError: it cannot be written; what was saved before is untouched.
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
    folder: str | Path, generator: Generator, config: InversionConfig | Method
) -> tuple[InversionState, LossTerms] | None:
    """Loads what was saved last, for `resume_from`.

    Args:
      folder: given to `save_inversion`.
      generator, config: those of the inversion.
    Returns:
      State and losses; None if nothing was saved yet.
    Raises:
      CheckpointError: the checkpoint cannot be read, is of another network or config, or holds NaN.
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
    state = jax.eval_shape(lambda key: _state_after(step, generator, Method.of(config), key), jax.random.key(0))
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


def _state_after(steps: int, generator: Generator, method: Method, key: PRNGKeyArray) -> InversionState:
    """A state of the shapes that it has after so many steps."""
    phases = method.phases[: method.phase_after(steps) + 1]
    state = optimization.initial_state(generator, jnp.zeros(generator.config.w_dim), phases[0], key)
    for ended, begun in pairwise(phases):
        state = optimization.next_phase(generator, ended, state, begun)
    return state


def _manager(folder: Path) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
        max_to_keep=1, enable_async_checkpointing=False, cleanup_tmp_directories=True
    )
    return ocp.CheckpointManager(folder.absolute(), options=options)


def _to_dict(state: InversionState, losses: LossTerms) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in _by_name(state, losses).items()}


def _by_name(state: InversionState, losses: LossTerms) -> dict[str, Any]:
    """The leaves as {"state.latents.w": leaf, ...}."""
    leaves, _ = jax.tree_util.tree_flatten_with_path({"losses": losses, "state": state})
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def _reason(error: Exception) -> str:
    """The end, where the cause stands, of the first line of an error of Orbax; the others hold a stack trace."""
    line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return line if len(line) <= 200 else f"...{line[-200:]}"


def _check_space(path: Path, needed: int) -> None:
    """Tells of a full disk before Orbax meets it, whose threads print their tracebacks past any `except`."""
    if shutil.disk_usage(path).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
