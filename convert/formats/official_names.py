"""Translates the names of the StyleGAN2-ADA and StyleGAN3 projects for a generator's arrays in both directions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from convert import rules
from convert.rules import CONV, FEATURES, IDENTITY, LINEAR
from jaxgan.generator_config import GeneratorConfig

IGNORED_FILTER = "the taps are kept in the configuration"


def generator_table(config: GeneratorConfig) -> rules.Table:
    """Makes the table {"synthesis.b8.conv0.weight": ("synthesis/b8/conv0/kernel", CONV), ...}."""
    table: dict[str, tuple[str, rules.Transform]] = {"mapping.w_avg": ("mapping/w_avg", IDENTITY)}

    def layer(name: str, weight: rules.Transform, *others: str) -> None:
        path = name.replace(".", "/")
        table[f"{name}.weight"] = (f"{path}/kernel", weight)
        for other in others:
            table[f"{name}.{other}"] = (f"{path}/{other}", IDENTITY)

    for name in ("embed",) * (config.c_dim > 0) + tuple(f"fc{i}" for i in range(config.mapping_layers)):
        layer(f"mapping.{name}", LINEAR, "bias")
    for resolution in config.block_resolutions:
        block = f"synthesis.b{resolution}"
        if resolution == 4:
            table[f"{block}.const"] = (f"synthesis/b{resolution}/const", FEATURES)
        for name in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
            layer(f"{block}.{name}", CONV, "bias", "noise_strength", "noise_const")
            layer(f"{block}.{name}.affine", LINEAR, "bias")
        if config.architecture == "resnet" and resolution > 4:
            layer(f"{block}.skip", CONV)
        if config.architecture == "skip" or resolution == config.resolution:
            layer(f"{block}.torgb", CONV, "bias")
            layer(f"{block}.torgb.affine", LINEAR, "bias")
    return table


def filter_names(config: GeneratorConfig) -> list[str]:
    """Lists the names of the `resample_filter` buffers: one per block, per 3x3 convolution and per skip."""
    names = []
    for resolution in config.block_resolutions:
        layers = ["conv1"] if resolution == 4 else ["conv0", "conv1"]
        layers += ["skip"] if config.architecture == "resnet" and resolution > 4 else []
        names += [f"synthesis.b{resolution}.{layer}" for layer in layers] + [f"synthesis.b{resolution}"]
    return [f"{name}.resample_filter" for name in names]


def filter_array(config: GeneratorConfig) -> np.ndarray:
    """Returns the filter as networks store it: the normalised outer product of the taps, or 8 and more taps alone."""
    taps = np.asarray(config.resample_filter, np.float32)
    array = taps if taps.size >= 8 else np.outer(taps, taps)
    return (array / array.sum()).astype(np.float32)


def state_dict(config: GeneratorConfig, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns a generator's arrays as `G_ema.state_dict()` has them, `resample_filter` buffers included.

    Args:
      weights: all arrays of the generator, {"synthesis/b4/const": array, ...}.
    """
    arrays = rules.to_torch(generator_table(config), weights)
    return arrays | {name: filter_array(config) for name in filter_names(config)}
