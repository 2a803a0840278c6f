"""Reads generators of rosinality's implementation, alone (`550000.pt`) or as the decoder of an e4e or pSp encoder.

Names and shapes tell everything but the constants of equalised layers, which are those of StyleGAN2.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, arXiv 1912.04958.
  Tov et al., "Designing an Encoder for StyleGAN Image Manipulation" (e4e), 2021, arXiv 2102.02766.
  Richardson et al., "Encoding in Style" (pSp), 2021, arXiv 2008.00951.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from convert import rules
from convert.found import Found, assemble
from convert.inference import check_square, count_layers, infer_channels, infer_mapping, taps_or_default, vector_size
from convert.rules import BATCHED_CONV, BATCHED_FEATURES, CHANNELS, IDENTITY, LINEAR, MAP, SCALAR, ConversionError
from jaxgan.generator_config import GeneratorConfig

SIGN = "input.input"
"""The array by whose name these state dicts are told."""
KERNEL = re.compile(r"convs\.\d{1,3}\.conv\.blur\.kernel|to_rgbs\.\d{1,3}\.upsample\.kernel")
Spelling = Callable[[str], str]
"""Another project's name for one of these arrays."""


def find(
    arrays: Mapping[str, np.ndarray],
    latent_avg: np.ndarray | None,
    *,
    name: str,
    spelled: Spelling = str,
    notes: Sequence[str] = (),
    **settings: Any,
) -> Found:
    """Finds the generator in a state dict.

    Args:
      arrays: {"style.1.weight": array, ...}
      latent_avg: the mean latent `[w_dim]`, or `[num_ws, w_dim]` with equal rows; None computes it.
      name: the name of the format, for config.json.
      spelled: a function from these names to their spelling in the file.
      notes: facts that a user should know.
      settings: further fields of the configuration, e.g. `alignment_scale`.
    Raises:
      ConversionError: the state dict holds another network.
    """
    config, more_notes = _infer_config(arrays, spelled, name, settings)
    ignored = dict.fromkeys(filter(KERNEL.fullmatch, arrays), "the taps are kept in the configuration")
    if latent_avg is not None and latent_avg.ndim == 2:
        if len(latent_avg) == 0 or not (latent_avg == latent_avg[:1]).all():
            raise ConversionError("the rows of latent_avg differ; a StyleGAN2 generator has one mean latent.")
        latent_avg = latent_avg[0]
    arrays = arrays if latent_avg is None else {**arrays, "latent_avg": latent_avg}
    table = {spelled(theirs): entry for theirs, entry in generator_table(config).items()}
    return assemble(name, config, arrays, table, ignored, (*notes, *more_notes))


def generator_table(config: GeneratorConfig) -> rules.Table:
    """Makes the table {"convs.0.conv.weight": ("synthesis/b8/conv0/kernel", BATCHED_CONV), ...}."""
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


def _infer_config(
    arrays: Mapping[str, np.ndarray], spelled: Spelling, name: str, settings: Mapping[str, Any]
) -> tuple[GeneratorConfig, Sequence[str]]:
    blocks = count_layers(arrays, lambda index: spelled(f"to_rgbs.{index}.bias"))
    layers = count_layers(arrays, lambda index: spelled(f"style.{index + 1}.weight"))
    dense = [arrays[spelled(f"style.{index + 1}.weight")] for index in range(layers)]
    if blocks > 10 or not dense or any(matrix.ndim != 2 for matrix in dense) or "to_rgb1.bias" not in arrays:
        raise ConversionError(
            f"no generator of the format {name}: {blocks} blocks after the first, {layers} mapping layers."
        )
    convs = {4: "conv1"} | {8 * 2**index: f"convs.{2 * index}" for index in range(blocks)}
    check_square(arrays[spelled(SIGN)], max(convs))
    channel_base, channel_max = infer_channels(
        {resolution: vector_size(arrays, spelled(f"{conv}.activate.bias")) for resolution, conv in convs.items()}
    )
    w_dim, mapping_features = infer_mapping([matrix.shape[0] for matrix in dense])
    # Both kinds of kernel are stored times 4, the gain of up-sampling by 2.
    kernels = {name: array / array.dtype.type(4) for name, array in arrays.items() if KERNEL.fullmatch(name)}
    taps, notes = taps_or_default(kernels)
    try:
        config = GeneratorConfig(
            resolution=max(convs),
            z_dim=dense[0].shape[1],
            w_dim=w_dim,
            image_channels=arrays["to_rgb1.bias"].size,
            mapping_layers=layers,
            mapping_features=mapping_features,
            channel_base=channel_base,
            channel_max=channel_max,
            resample_filter=taps,
            **settings,
        )
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, ConversionError) else ConversionError(f"no configuration: {error}") from None
    return config, notes
