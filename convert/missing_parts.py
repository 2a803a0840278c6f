"""Makes the parts of a generator that many files leave out: the mean latent and the noise maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from convert import rules
from jaxgan.generator_config import GeneratorConfig

W_AVG_SAMPLES, W_AVG_SEED = 10_000, 123
"""The number of samples with which the projector of StyleGAN2 estimates the mean latent."""
NOISE_SEED = 0
W_AVG = "mapping/w_avg"


def set_aside(table: rules.Table, arrays: Mapping[str, np.ndarray]) -> tuple[rules.Table, tuple[str, ...], list[str]]:
    """Takes the parts out of a table that the file does not have.

    Args:
      table: {the file's name: (our path, transform)}
      arrays: the file's arrays, in which all noise maps are present or all are missing.
    Returns:
      The rest of the table, our paths of the parts to make, and a note on each kind.
    """
    maps = [name for name, (path, _) in table.items() if path.endswith("/noise_const")]
    means = [name for name, (path, _) in table.items() if path == W_AVG and name not in arrays]
    notes = [
        f"the file has no {name}: w_avg is the mean w of {W_AVG_SAMPLES} z of RandomState({W_AVG_SEED})"
        for name in means
    ]
    if maps and not any(name in arrays for name in maps):
        notes.append(f"the file has no noise maps: they are drawn from N(0, 1) with RandomState({NOISE_SEED})")
    else:
        maps = []
    missing = {*means, *maps}
    rest = {name: entry for name, entry in table.items() if name not in missing}
    return rest, tuple(table[name][0] for name in table if name in missing), notes


def make(config: GeneratorConfig, weights: Mapping[str, np.ndarray], paths: Iterable[str]) -> dict[str, np.ndarray]:
    """Makes the missing parts of a generator.

    Args:
      config: the configuration of the generator.
      weights: all other parts, by our path.
      paths: the paths that `set_aside` returned, coarse to fine.
    Returns:
      {our path: float32 array}
    """
    random = np.random.RandomState(NOISE_SEED)
    made = {}
    for path in paths:
        if path == W_AVG:
            made[path] = mean_latent(config, weights)
        else:
            resolution = int(path.split("/")[1].removeprefix("b"))
            made[path] = random.standard_normal((resolution, resolution)).astype(np.float32)
    return made


def mean_latent(config: GeneratorConfig, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """Computes the mean w `[w_dim]` over normal z in NumPy; the labels are taken in turn."""
    random = np.random.RandomState(W_AVG_SEED)
    x = _normalize(random.standard_normal((W_AVG_SAMPLES, config.z_dim)).astype(np.float32))  # [samples, features]
    if config.c_dim:
        labels = np.eye(config.c_dim, dtype=np.float32)[np.arange(W_AVG_SAMPLES) % config.c_dim]
        x = np.concatenate([x, _normalize(_dense(labels, weights, "mapping/embed", 1.0))], axis=1)
    for index in range(config.mapping_layers):
        x = _dense(x, weights, f"mapping/fc{index}", config.mapping_lr_multiplier)
        x = np.where(x > 0, x, np.float32(0.2) * x) * np.float32(math.sqrt(2))
    return x.mean(0, dtype=np.float64).astype(np.float32)


def _dense(x: np.ndarray, weights: Mapping[str, np.ndarray], path: str, lr_multiplier: float) -> np.ndarray:
    kernel, gain = weights[f"{path}/kernel"], np.float32(lr_multiplier)
    return x @ kernel * (gain / np.float32(math.sqrt(len(kernel)))) + weights[f"{path}/bias"] * gain


def _normalize(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + np.float32(1e-8))
