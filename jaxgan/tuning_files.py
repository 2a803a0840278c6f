"""Keeps a tuning on disk, so that it can go on to the same bits, and writes the tuned network as a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgan import checkpoints, step_files, tuning_steps
from jaxgan.generator import Generator
from jaxgan.tuning_steps import TuningConfig, TuningState, TuningTerms


def save_tuning(folder: str | Path, state: TuningState, losses: TuningTerms) -> None:
    """Saves how far a tuning has come; what was saved before goes once the new checkpoint is complete.

    Args:
      folder: the folder of the checkpoints, which is made if needed.
      state, losses: the arguments that `on_chunk` was called with.
    Raises:
      OSError: it cannot be written; what was saved before is untouched.
    """
    step_files.save(folder, int(state.step), {"losses": losses, "state": state})


def load_tuning(
    folder: str | Path, generator: Generator, config: TuningConfig
) -> tuple[TuningState, TuningTerms] | None:
    """Loads the last checkpoint of a tuning, for `resume_from`.

    Args:
      folder: the folder given to `save_tuning`.
      generator, config: the network and the constants of the tuning.
    Returns:
      The state and the losses; None if nothing was saved yet.
    Raises:
      CheckpointError: the checkpoint cannot be read, is of another network, or holds NaN.
    """
    found = step_files.load(folder)
    if found is None:
        return None
    step, arrays = found
    losses = TuningTerms._make(jax.ShapeDtypeStruct((step,), np.float32) for _ in TuningTerms._fields)
    state = jax.eval_shape(lambda: tuning_steps.initial_state(generator, config))
    loaded = step_files.fill({"losses": losses, "state": state}, arrays, folder)
    return jax.device_put(loaded["state"]), loaded["losses"]


def save_tuned(folder: str | Path, generator: Generator, pivot: Mapping[str, Any]) -> None:
    """Writes a tuned network as `load_generator` reads it and `python -m convert export` takes it.

    Args:
      folder: the folder, which must not exist.
      generator: the network of a `TuningResult`.
      pivot: JSON-able facts about the latents that the network was tuned for, which config.json keeps.
    Raises:
      CheckpointError: the folder exists.
    """
    weights = checkpoints.network_arrays(generator)
    conversion = {"source": generator.config.source, "tuned": True, "pivot": dict(pivot)}
    checkpoints.save_generator(folder, generator.config, weights, conversion)
