"""Saves an inversion so that it can go on to the same bits, in an Orbax checkpoint under names that others can read.

invert(..., on_chunk=lambda state, losses: save_inversion(folder, state, losses))
invert(..., resume_from=load_inversion(folder, generator, config))
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from jaxgan import optimization, step_files
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.methods import Method
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
    step = int(state.step)
    if len(losses.total) != step:
        raise ValueError(f"the state is that after {step} steps, the losses are those of {len(losses.total)}.")
    step_files.save(folder, step, {"losses": losses, "state": state})


def load_inversion(
    folder: str | Path, generator: Generator, config: InversionConfig | Method
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
    found = step_files.load(folder)
    if found is None:
        return None
    step, arrays = found
    state = jax.eval_shape(lambda key: _state_after(step, generator, Method.of(config), key), jax.random.key(0))
    losses = LossTerms._make(jax.ShapeDtypeStruct((step,), np.float32) for _ in LossTerms._fields)
    loaded = step_files.fill({"losses": losses, "state": state}, arrays, folder)
    return jax.device_put(loaded["state"]), loaded["losses"]


def _state_after(steps: int, generator: Generator, method: Method, key: PRNGKeyArray) -> InversionState:
    """Makes a state of the shapes that it has after so many steps."""
    phases = method.phases[: method.phase_after(steps) + 1]
    state = optimization.initial_state(generator, jnp.zeros(generator.config.w_dim), phases[0], key)
    for ended, begun in pairwise(phases):
        state = optimization.next_phase(generator, ended, state, begun)
    return state
