"""Generators of rosinality's implementation, alone (`550000.pt`) or as the decoder of an e4e or pSp encoder.

Everything but the equalised layers' constants, which are StyleGAN2's, is read off names and shapes.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, arXiv 1912.04958.
  Tov et al., "Designing an Encoder for StyleGAN Image Manipulation" (e4e), 2021, arXiv 2102.02766.
  Richardson et al., "Encoding in Style" (pSp), 2021, arXiv 2008.00951.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from convert import rules
from convert.found import Found
from convert.inference import infer_channels, infer_taps, vector_size
from convert.rules import BATCHED_CONV, BATCHED_FEATURES, CHANNELS, IDENTITY, LINEAR, MAP, SCALAR, ConversionError
from jaxgan.generator_config import GeneratorConfig

SIGN = "input.input"
"""The array by whose name these state dicts are told."""
KERNEL = re.compile(r"convs\.\d{1,3}\.conv\.blur\.kernel|to_rgbs\.\d{1,3}\.upsample\.kernel")
W_AVG_SAMPLES, W_AVG_SEED = 10_000, 123
"""As the projector of StyleGAN2 estimates the mean latent."""


def find(arrays: Mapping[str, np.ndarray], latent_avg: np.ndarray | None, *, name: str, **settings: Any) -> Found:
    """Finds the generator in a state dict.

    Args:
      arrays: {"style.1.weight": array, ...}
      latent_avg: the mean latent `[w_dim]`, or the same in every row `[num_ws, w_dim]`; None computes it.
      name: name of the format, for config.json.
      settings: further fields of the configuration, e.g. `alignment_scale`.
    Raises:
      ConversionError: it holds another network.
    """
    config = _infer_config(arrays, settings)
    ignored = dict.fromkeys(filter(KERNEL.fullmatch, arrays), "the taps are kept in the configuration")
    found = Found(name, config, arrays, generator_table(config), ignored)  # checks the sizes
    notes = ()
    if latent_avg is None:
        latent_avg = _mean_latent(arrays, config)
        notes = (f"the file has no latent_avg: w_avg is the mean w of {W_AVG_SAMPLES} z of RandomState({W_AVG_SEED})",)
    elif latent_avg.ndim == 2:
        if len(latent_avg) == 0 or not (latent_avg == latent_avg[:1]).all():
            raise ConversionError("the rows of latent_avg differ; a StyleGAN2 generator has one mean latent.")
        latent_avg = latent_avg[0]
    return dataclasses.replace(found, arrays={**arrays, "latent_avg": latent_avg}, notes=notes)


def generator_table(config: GeneratorConfig) -> rules.Table:
    """{"convs.0.conv.weight": ("synthesis/b8/conv0/kernel", BATCHED_CONV), ...}"""
    table: dict[str, tuple[str, rules.Transform]] = {
        "latent_avg": ("mapping/w_avg", IDENTITY),
        "input.input": ("synthesis/b4/const", BATCHED_FEATURES),
    }

    def modulated(name: str, path: str) -> None:
        table[f"{name}.conv.weight"] = (f"{path}/kernel", BATCHED_CONV)
        table[f"{name}.conv.modulation.weight"] = (f"{path}/affine/kernel", LINEAR)
        table[f"{name}.conv.modulation.bias"] = (f"{path}/affine/bias", IDENTITY)

    def convolution(name: str, path: str, noise: int) -> None:
        modulated(name, path)
        table[f"{name}.activate.bias"] = (f"{path}/bias", IDENTITY)
        table[f"{name}.noise.weight"] = (f"{path}/noise_strength", SCALAR)
        table[f"noises.noise_{noise}"] = (f"{path}/noise_const", MAP)

    def to_rgb(name: str, path: str) -> None:
        modulated(name, path)
        table[f"{name}.bias"] = (f"{path}/bias", CHANNELS)

    for index in range(config.mapping_layers):  # style.0 normalises and has no weights
        table[f"style.{index + 1}.weight"] = (f"mapping/fc{index}/kernel", LINEAR)
        table[f"style.{index + 1}.bias"] = (f"mapping/fc{index}/bias", IDENTITY)
    convolution("conv1", "synthesis/b4/conv1", 0)
    to_rgb("to_rgb1", "synthesis/b4/torgb")
    for index, resolution in enumerate(config.block_resolutions[1:]):
        path = f"synthesis/b{resolution}"
        convolution(f"convs.{2 * index}", f"{path}/conv0", 2 * index + 1)
        convolution(f"convs.{2 * index + 1}", f"{path}/conv1", 2 * index + 2)
        to_rgb(f"to_rgbs.{index}", f"{path}/torgb")
    return table


def _infer_config(arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> GeneratorConfig:
    blocks = sum(re.fullmatch(r"to_rgbs\.\d{1,2}\.bias", name) is not None for name in arrays)
    layers = sum(re.fullmatch(r"style\.\d{1,3}\.weight", name) is not None for name in arrays)
    first = arrays.get("style.1.weight")
    if blocks > 10 or first is None or first.ndim != 2 or "to_rgb1.bias" not in arrays:
        raise ConversionError(
            f"no generator of rosinality's: {blocks} blocks after the first, {layers} mapping layers."
        )
    convs = {4: "conv1"} | {8 * 2**index: f"convs.{2 * index}" for index in range(blocks)}
    channel_base, channel_max = infer_channels(
        {resolution: vector_size(arrays, f"{conv}.activate.bias") for resolution, conv in convs.items()}
    )
    # Both kinds of kernel are stored times 4, the gain of up-sampling by 2.
    kernels = {name: array / np.float32(4) for name, array in arrays.items() if KERNEL.fullmatch(name)}
    try:
        return GeneratorConfig(
            resolution=max(convs),
            z_dim=first.shape[1],
            w_dim=first.shape[0],
            image_channels=arrays["to_rgb1.bias"].size,
            mapping_layers=layers,
            channel_base=channel_base,
            channel_max=channel_max,
            resample_filter=infer_taps(kernels),
            **settings,
        )
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, ConversionError) else ConversionError(f"no configuration: {error}") from None


def _mean_latent(arrays: Mapping[str, np.ndarray], config: GeneratorConfig) -> np.ndarray:
    """Mean w over normal z: the mapping network in NumPy."""
    z = np.random.RandomState(W_AVG_SEED).standard_normal((W_AVG_SAMPLES, config.z_dim)).astype(np.float32)
    x = z / np.sqrt(np.mean(z**2, axis=1, keepdims=True) + 1e-8)  # [samples, features]
    for index in range(config.mapping_layers):
        weight, bias = arrays.get(f"style.{index + 1}.weight"), arrays.get(f"style.{index + 1}.bias")
        if (
            weight is None
            or bias is None
            or weight.shape != (config.w_dim, x.shape[1])
            or bias.shape != (config.w_dim,)
        ):
            raise ConversionError(f"style.{index + 1} is missing or misshapen, and w_avg depends on it.")
        gain = np.float32(config.mapping_lr_multiplier)
        x = x @ weight.T * (gain / np.float32(math.sqrt(x.shape[1]))) + bias * gain
        x = np.where(x > 0, x, np.float32(0.2) * x) * np.float32(math.sqrt(2))
    return x.mean(0, dtype=np.float64).astype(np.float32)
