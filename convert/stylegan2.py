"""Generators in snapshots of the StyleGAN2-ADA project, and those StyleGAN2 ones of the StyleGAN3 project.

What is in force is read from the attributes and shapes of the modules, not from the constructor's arguments: the two
projects have different defaults. One module per file format; others have their own tables beside this one.

References:
  Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, arXiv 2006.06676.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from flax import nnx

from convert import rules, torch_files
from convert.rules import CONV, FEATURES, IDENTITY, LINEAR, ConversionError
from convert.torch_files import Module
from jaxgan.checkpoints import network_shapes
from jaxgan.generator import Generator, GeneratorConfig

FORMAT = "stylegan2-ada-pytorch"
IGNORED_FILTER = "the taps are kept in the configuration"

MODULE_CLASSES = {
    r"": "Generator",
    r"mapping": "MappingNetwork",
    r"mapping\.(embed|fc\d{1,3})": "FullyConnectedLayer",
    r"synthesis": "SynthesisNetwork",
    r"synthesis\.b\d{1,5}": "SynthesisBlock",
    r"synthesis\.b\d{1,5}\.conv[01]": "SynthesisLayer",
    r"synthesis\.b\d{1,5}\.torgb": "ToRGBLayer",
    r"synthesis\.b\d{1,5}\.skip": "Conv2dLayer",
    r"synthesis\.b\d{1,5}\.(conv[01]|torgb)\.affine": "FullyConnectedLayer",
}
"""Class of each module, by its name."""

STATE_DICT = "a torch.save file (of rosinality's code, say); this version converts the snapshots of StyleGAN2-ADA only"
OTHER_KINDS = {
    "tensorflow": "a TensorFlow-era pickle; this version converts the PyTorch snapshots of StyleGAN2-ADA only",
    "legacy": STATE_DICT,
    "zip": STATE_DICT,
    "torchscript": "a TorchScript archive, not a generator",
}


def read(
    path: str | os.PathLike, *, which: Literal["g_ema", "g"] = "g_ema", **settings: Any
) -> tuple[GeneratorConfig, dict[str, np.ndarray]]:
    """Reads a generator from a snapshot (`ffhq.pkl`, ...).

    Args:
      path: the .pkl file.
      which: the exponential moving average of the weights, as a rule the better one, or the last weights.
      settings: further fields of the configuration, e.g. `alignment_scale`.
    Returns:
      Configuration and {"synthesis/b4/const": array, ...}, as `jaxgan.checkpoints.save_generator` takes them.
    Raises:
      CheckpointFileError: the file cannot be read.
      ConversionError: it holds another network, or its arrays do not fit.
    """
    if (kind := torch_files.recognise(path)) in OTHER_KINDS:
        raise ConversionError(f"{path} is {OTHER_KINDS[kind]}.")
    snapshot = torch_files.read_snapshot(path)
    key = {"g_ema": "G_ema", "g": "G"}[which]
    network = snapshot.get(key) if isinstance(snapshot, dict) else None
    if not isinstance(network, Module):
        names = sorted(str(name) for name, value in snapshot.items() if value) if isinstance(snapshot, dict) else []
        raise ConversionError(f"{path} has no network {key}; it has {', '.join(names) or 'nothing of that kind'}.")
    try:
        return convert(network, **settings)
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}") from error


def convert(network: Module, **settings: Any) -> tuple[GeneratorConfig, dict[str, np.ndarray]]:
    """Converts a generator that is already in memory; see `read`."""
    config = infer_config(network, **settings)
    arrays = torch_files.flat_arrays(network)
    ignored = {name: IGNORED_FILTER for name in arrays if name.endswith("resample_filter")}
    expected = network_shapes(nnx.eval_shape(lambda: Generator(config, rngs=nnx.Rngs(0))))
    return config, rules.to_ours(generator_table(config), arrays, expected, ignored=ignored)


def to_torch_names(config: GeneratorConfig, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of `convert` for the arrays: a state dict but for the `resample_filter` buffers."""
    return rules.to_torch(generator_table(config), weights)


def generator_table(config: GeneratorConfig) -> rules.Table:
    """{"synthesis.b8.conv0.weight": ("synthesis/b8/conv0/kernel", CONV), ...}"""
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


def infer_config(network: Module, **settings: Any) -> GeneratorConfig:
    """Reads a generator's configuration off its modules.

    Raises:
      ConversionError: not the StyleGAN2 architecture, or layers that contradict each other.
    """
    modules = torch_files.named_modules(network)
    _check_classes(modules)
    blocks = {
        int(name[len("synthesis.b") :]): m for name, m in modules.items() if re.fullmatch(r"synthesis\.b\d{1,5}", name)
    }
    dense = [m for name, m in modules.items() if re.fullmatch(r"mapping\.fc\d{1,3}", name)]
    layers = {name: m for name, m in modules.items() if m.class_name == "SynthesisLayer"}
    clamped = [*layers.values(), *(m for m in modules.values() if m.class_name == "ToRGBLayer")]
    for name, module in layers.items():
        wanted = {"activation": "lrelu", "use_noise": True, "up": 2 if name.endswith("conv0") else 1}
        found = {key: module.state.get(key) for key in wanted}
        if found != wanted:
            raise ConversionError(f"{name} has {found}; a StyleGAN2 layer has {wanted}.")
    for name, module in modules.items():
        if name.endswith((".affine", ".embed")) and module.state.get("bias_gain") != 1:
            raise ConversionError(f"{name} has a learning-rate multiplier; only mapping layers of StyleGAN2 have one.")
    resolution = max(blocks)
    if _common("img_resolution", [network]) != resolution or _common("num_layers", [modules["mapping"]]) != len(dense):
        raise ConversionError(
            f"the network says it has another size than its {len(blocks)} blocks and {len(dense)} layers."
        )
    channel_base, channel_max = infer_channels({r: _features(block) for r, block in blocks.items()})
    arrays = torch_files.flat_arrays(network)
    filters = {name: array for name, array in arrays.items() if name.endswith("resample_filter")}
    try:
        return GeneratorConfig(
            resolution=resolution,
            z_dim=_size("z_dim", network),
            c_dim=_size("c_dim", network),
            w_dim=_size("w_dim", network),
            image_channels=_size("img_channels", network),
            mapping_layers=len(dense),
            mapping_lr_multiplier=float(_common("bias_gain", dense)),
            channel_base=channel_base,
            channel_max=channel_max,
            architecture=_common("architecture", blocks.values()),
            conv_clamp=None if (clamp := _common("conv_clamp", clamped)) is None else float(clamp),
            resample_filter=infer_taps(filters),
            **settings,
        )
    except (TypeError, ValueError) as error:
        raise ConversionError(f"no StyleGAN2 configuration: {error}") from None


def infer_channels(channels: Mapping[int, int]) -> tuple[int, int]:
    """`channel_base` and `channel_max` such that a block of resolution r has min(base // r, max) channels.

    Args:
      channels: {resolution: channels}
    Raises:
      ConversionError: no such pair exists.
    """
    channel_max = max(channels.values())
    channel_base = max(resolution * count for resolution, count in channels.items())
    if any(min(channel_base // resolution, channel_max) != count for resolution, count in channels.items()):
        raise ConversionError(
            f"channels per resolution are {dict(sorted(channels.items()))}; expected min(base // r, max)."
        )
    return channel_base, channel_max


def infer_taps(filters: Mapping[str, np.ndarray]) -> tuple[float, ...]:
    """The 1-D taps behind the normalised filters of all layers: (1, 3, 3, 1) for outer([1,3,3,1], [1,3,3,1]) / 64.

    Raises:
      ConversionError: there is none, they differ between layers, or the filter is not an outer product of equal taps.
    """
    if not filters:
        raise ConversionError("the network has no resample_filter.")
    name, first = next(iter(filters.items()))
    if differing := [other for other, array in filters.items() if not np.array_equal(array, first)]:
        raise ConversionError(f"resample_filter differs between {name} and {', '.join(differing)}.")
    taps = first if first.ndim == 1 else first.sum(-1, dtype=np.float64)  # long filters are stored as 1-D taps
    # 1e-6: the filters are float32, rounded to 6e-8 relative.
    if first.ndim not in (1, 2) or (
        first.ndim == 2 and not np.allclose(first, np.outer(taps, taps), rtol=1e-6, atol=1e-7)
    ):
        raise ConversionError(f"{name} of shape {first.shape} is not separable into equal taps.")
    whole = np.round(taps / taps[0]) if taps[0] else taps
    if np.allclose(whole / whole.sum(), taps, rtol=1e-6, atol=0):
        taps = whole
    return tuple(float(tap) for tap in taps)


def _check_classes(modules: Mapping[str, Module]) -> None:
    """Refuses, by name, the other networks that come in the same container."""
    classes = {module.class_name for module in modules.values()}
    if "SynthesisInput" in classes:
        raise ConversionError(
            "this is a StyleGAN3 generator (alias-free, or StyleGAN-XL), not StyleGAN2; it cannot be converted."
        )
    required = ("", "mapping", "synthesis", "synthesis.b4")
    problems = [f"no module {name!r}" for name in required if name not in modules]
    for name, module in modules.items():
        wanted = [class_name for pattern, class_name in MODULE_CLASSES.items() if re.fullmatch(pattern, name)]
        if wanted != [module.class_name]:
            problems.append(
                f"{name or 'the root'} is a {module.class_name}, expected {wanted[0] if wanted else 'no such module'}"
            )
    if problems:
        raise ConversionError("this is no StyleGAN2 generator: " + "; ".join(problems))


def _common(attribute: str, modules: Iterable[Module]) -> Any:
    """The value that an attribute has in all of the modules."""
    values = [module.state.get(attribute, "missing") for module in modules]
    if not values or any(type(value) is not type(values[0]) or value != values[0] for value in values):
        raise ConversionError(
            f"{attribute} differs between layers or is missing: {sorted({str(v)[:40] for v in values})}."
        )
    return values[0]


def _size(attribute: str, network: Module) -> int:
    value = network.state.get(attribute)
    if type(value) is not int or not 0 <= value <= 2**20:
        raise ConversionError(f"{attribute} is {str(value)[:40]!r}; expected a size.")
    return value


def _features(block: Module) -> int:
    conv = block.modules.get("conv1")
    if conv is None or "bias" not in conv.arrays or conv.arrays["bias"].ndim != 1:
        raise ConversionError("a block has no conv1 with a bias vector.")
    return conv.arrays["bias"].size
