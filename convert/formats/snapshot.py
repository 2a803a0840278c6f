"""Generators in snapshots of the StyleGAN2-ADA project, and those StyleGAN2 ones of the StyleGAN3 project.

What is in force is read from the attributes and shapes of the modules, not from the constructor's arguments: the two
projects have different defaults.

References:
  Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, arXiv 2006.06676.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from convert.files import torch_files
from convert.files.torch_files import Module
from convert.formats import official_names, other_networks
from convert.found import Found
from convert.inference import infer_channels, infer_taps, number, plain
from convert.rules import ConversionError
from jaxgan.generator_config import GeneratorConfig
from jaxgan.pickles import brief

FORMAT = "stylegan2-ada-pytorch"
FORMAT_SG3 = "stylegan3-project"

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

OTHER_ENTRIES = ("G", "D", "G_ema", "training_set_kwargs", "augment_pipe")
"""What a snapshot has at its top: the networks (one of which is converted) and settings of the training."""


def find(snapshot: Mapping[Any, Any], *, which: Literal["g_ema", "g"], **settings: Any) -> Found:
    """Finds a generator in a snapshot (`ffhq.pkl`, ...).

    Args:
      snapshot: the pickled dict, of `torch_files.read_snapshot`.
      which: the exponential moving average of the weights, as a rule the better one, or the last weights.
      settings: further fields of the configuration, e.g. `alignment_scale`.
    Raises:
      ConversionError: it holds another network.
    """
    key = {"g_ema": "G_ema", "g": "G"}[which]
    network = snapshot.get(key)
    if not isinstance(network, Module):
        names = sorted(brief(name) for name, value in snapshot.items() if isinstance(value, Module))
        raise ConversionError(f"there is no network {key}; the networks are {', '.join(names) or 'none'}.")
    unknown = {str(name): value for name, value in snapshot.items() if name not in OTHER_ENTRIES}
    if arrays := torch_files.flat_arrays(unknown):
        raise ConversionError(f"{len(arrays)} arrays at the top are unknown: {', '.join(list(arrays)[:5])}.")
    try:
        return find_in_module(network, **settings)
    except ConversionError as error:
        classes = {
            module.class_name
            for value in snapshot.values()
            if isinstance(value, Module)
            for module in torch_files.named_modules(value).values()
        }
        names = torch_files.named_modules(network)
        if other := other_networks.name_of({*classes, *names}):
            raise ConversionError(
                f"this is a {other} network, not StyleGAN2; it cannot be converted ({error})"
            ) from error
        raise


def find_in_module(network: Module, **settings: Any) -> Found:
    """Finds a generator that is already in memory; see `find`."""
    config = infer_config(network, **settings)
    arrays = torch_files.flat_arrays(network)
    return Found(
        format=_format(network),
        config=config,
        arrays=arrays,
        table=official_names.generator_table(config),
        ignored=dict.fromkeys(official_names.filter_names(config), official_names.IGNORED_FILTER),
    )


def _format(network: Module) -> str:
    """Both projects' networks read alike; the later one's blocks have an attribute more."""
    return FORMAT_SG3 if "fused_modconv_default" in network.modules["synthesis"].modules["b4"].state else FORMAT


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
        found = {key: _attribute(key, module) for key in wanted}
        if found != wanted:
            raise ConversionError(f"{name} has {found}; a StyleGAN2 layer has {wanted}.")
    for name, module in modules.items():
        if name.endswith((".affine", ".embed")) and _attribute("bias_gain", module) != 1:
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
            mapping_lr_multiplier=number("bias_gain", _common("bias_gain", dense)),
            channel_base=channel_base,
            channel_max=channel_max,
            architecture=_common("architecture", blocks.values()),
            conv_clamp=None if (clamp := _common("conv_clamp", clamped)) is None else number("conv_clamp", clamp),
            resample_filter=infer_taps(filters),
            **settings,
        )
    except ConversionError:
        raise
    except (TypeError, ValueError) as error:
        raise ConversionError(f"no StyleGAN2 configuration: {error}") from None


def _check_classes(modules: Mapping[str, Module]) -> None:
    """Refuses the other networks that come in the same container."""
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


def _attribute(name: str, module: Module) -> str | int | float | None:
    return plain(f"{name} of a {brief(module.class_name)}", module.state.get(name, "missing"))


def _common(attribute: str, modules: Iterable[Module]) -> Any:
    """The value that an attribute has in all of the modules."""
    values = [_attribute(attribute, module) for module in modules]
    if not values or any(type(value) is not type(values[0]) or value != values[0] for value in values):
        raise ConversionError(
            f"{attribute} differs between layers or is missing: {sorted({brief(v) for v in values})}."
        )
    return values[0]


def _size(attribute: str, network: Module) -> int:
    value = _attribute(attribute, network)
    if type(value) is not int or not 0 <= value <= 2**20:
        raise ConversionError(f"{attribute} is {brief(value)!r}; expected a size.")
    return value


def _features(block: Module) -> int:
    conv = block.modules.get("conv1")
    if conv is None or "bias" not in conv.arrays or conv.arrays["bias"].ndim != 1:
        raise ConversionError("a block has no conv1 with a bias vector.")
    return conv.arrays["bias"].size
