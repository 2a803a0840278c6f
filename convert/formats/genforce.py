"""Reads generators of genforce's projects (genforce, InterFaceGAN, IDInvert), whose arrays have names of their own.

Kernels have PyTorch's layout, but those of up-convolutions are flipped and the biases of styles lack the 1, as in
TensorFlow's files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from convert import rules
from convert.found import Found, assemble
from convert.inference import (
    architecture_of,
    check_square,
    count_layers,
    infer_channels,
    infer_mapping,
    taps_or_default,
    vector_size,
)
from convert.rules import BATCHED_FEATURES, CONV, IDENTITY, LINEAR, MAP, MIRRORED_CONV, PLUS_ONE, ConversionError
from jaxgan.generator_config import GeneratorConfig

FORMAT = "genforce"
SIGN = "synthesis.early_layer.const"
"""The array by whose name these state dicts are told."""
KERNEL = re.compile(r"synthesis\.(layer\d{1,2}|skip_layer\d{1,2})\.filter\.kernel|synthesis\.upsample\.kernel")


def find(arrays: Mapping[str, np.ndarray], **settings: Any) -> Found:
    """Finds the generator in a state dict.

    Args:
      arrays: {"mapping.dense0.weight": array, ...}
      settings: further fields of the configuration, e.g. `alignment_scale`.
    Raises:
      ConversionError: the state dict holds another network.
    """
    if "mapping.label_weight" in arrays:
        raise ConversionError("this is a class-conditional network of genforce's; only unconditional ones are read.")
    config, notes = _infer_config(arrays, settings)
    ignored = dict.fromkeys(filter(KERNEL.fullmatch, arrays), "the taps are kept in the configuration")
    return assemble(FORMAT, config, arrays, generator_table(config), ignored, notes)


def generator_table(config: GeneratorConfig) -> rules.Table:
    """Makes the table {"synthesis.layer1.weight": ("synthesis/b8/conv0/kernel", CONV), ...}."""
    table: dict[str, tuple[str, rules.Transform]] = {
        "truncation.w_avg": ("mapping/w_avg", IDENTITY),
        SIGN: ("synthesis/b4/const", BATCHED_FEATURES),
    }

    def modulated(name: str, path: str, weight: rules.Transform = CONV) -> None:
        table[f"synthesis.{name}.weight"] = (f"synthesis/{path}/kernel", weight)
        table[f"synthesis.{name}.bias"] = (f"synthesis/{path}/bias", IDENTITY)
        table[f"synthesis.{name}.style.weight"] = (f"synthesis/{path}/affine/kernel", LINEAR)
        table[f"synthesis.{name}.style.bias"] = (f"synthesis/{path}/affine/bias", PLUS_ONE)

    def convolution(name: str, path: str, weight: rules.Transform = CONV) -> None:
        modulated(name, path, weight)
        table[f"synthesis.{name}.noise_strength"] = (f"synthesis/{path}/noise_strength", IDENTITY)
        table[f"synthesis.{name}.noise"] = (f"synthesis/{path}/noise_const", MAP)

    for index in range(config.mapping_layers):
        table[f"mapping.dense{index}.weight"] = (f"mapping/fc{index}/kernel", LINEAR)
        table[f"mapping.dense{index}.bias"] = (f"mapping/fc{index}/bias", IDENTITY)
    for index, resolution in enumerate(config.block_resolutions):
        block = f"b{resolution}"
        if index:
            convolution(f"layer{2 * index - 1}", f"{block}/conv0", MIRRORED_CONV)
        convolution(f"layer{2 * index}", f"{block}/conv1")
        if config.architecture == "resnet" and index:
            table[f"synthesis.skip_layer{index - 1}.weight"] = (f"synthesis/{block}/skip/kernel", CONV)
        if config.architecture == "skip" or resolution == config.resolution:
            modulated(f"output{index}", f"{block}/torgb")
    return table


def _infer_config(arrays: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> tuple[GeneratorConfig, list[str]]:
    layers = count_layers(arrays, "synthesis.layer{}.weight".format)
    dense = [
        arrays[f"mapping.dense{index}.weight"] for index in range(count_layers(arrays, "mapping.dense{}.weight".format))
    ]
    if layers % 2 == 0 or layers > 19 or not dense or any(matrix.ndim != 2 for matrix in dense):
        raise ConversionError(f"no generator of genforce's: {layers} convolutions, {len(dense)} mapping layers.")
    blocks = (layers + 1) // 2
    resolution = 4 * 2 ** (blocks - 1)
    check_square(arrays[SIGN], resolution)
    channel_base, channel_max = infer_channels(
        {4 * 2**index: vector_size(arrays, f"synthesis.layer{2 * index}.bias") for index in range(blocks)}
    )
    w_dim, mapping_features = infer_mapping([matrix.shape[0] for matrix in dense])
    # Kernels [1, 1, taps, taps] are stored times 4, the gain of up-sampling by 2.
    kernels = {name: array.squeeze() / np.float32(4) for name, array in arrays.items() if KERNEL.fullmatch(name)}
    taps, notes = taps_or_default(kernels)
    try:
        config = GeneratorConfig(
            resolution=resolution,
            z_dim=dense[0].shape[1],
            w_dim=w_dim,
            image_channels=vector_size(arrays, f"synthesis.output{blocks - 1}.bias"),
            mapping_layers=len(dense),
            mapping_features=mapping_features,
            channel_base=channel_base,
            channel_max=channel_max,
            architecture=architecture_of(
                has_skip="synthesis.skip_layer0.weight" in arrays,
                early_torgb="synthesis.output0.weight" in arrays,
                resolution=resolution,
            ),
            resample_filter=taps,
            **settings,
        )
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, ConversionError) else ConversionError(f"no configuration: {error}") from None
    return config, notes
