"""Reads StyleGAN2 generators in snapshots of the StyleGAN2-ADA and StyleGAN3 projects.

The configuration is read from the attributes and shapes of the modules, not from the constructor's arguments, because
the two projects have different defaults.

References:
  Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, arXiv 2006.06676.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from convert.files import torch_files
from convert.files.stand_ins import Module
from convert.formats import official_names, other_networks, roles
from convert.formats.roles import Which
from convert.found import Found, assemble
from convert.inference import check_square, infer_channels, infer_mapping, number, plain, taps_or_default
from convert.rules import ConversionError, NothingFoundError
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
"""The class of each module, by the name of the module."""

OTHER_ENTRIES = ("G", "D", "G_ema", "training_set_kwargs", "augment_pipe")
"""The entries at the top of a snapshot: the networks, one of which is converted, and settings of the training."""


def find(snapshot: Module | Mapping[Any, Any], *, which: Which, **settings: Any) -> Found:
    """Finds a generator in a snapshot (`ffhq.pkl`, ...).

    Args:
      snapshot: the pickled dict that `convert.files.torch_files.read_snapshot` reads, or a network that was saved
        alone.
      which: the exponential moving average of the weights, which is better as a rule, or the last weights.
      settings: further fields of the configuration, e.g. `alignment_scale`.
    Raises:
      NothingFoundError: the generator is not there.
      ConversionError: the snapshot holds another network.
    """
    networks = torch_files.networks(snapshot)
    generators = [name for name, network in networks.items() if is_generator(network)]
    key = roles.choose(generators, which) if generators else {"g_ema": "G_ema", "g": "G"}[which]
    if not generators and "" in networks:
        key = ""  # a network that lies alone; its error says what it is
    if key not in networks:
        names = sorted(brief(name) for name in networks)
        raise NothingFoundError(f"there is no network {key}; the networks are {', '.join(names) or 'none'}.")
    network = networks[key]
    try:
        found = find_in_module(network, **settings)
    except ConversionError as error:
        modules = [named for value in networks.values() for named in torch_files.named_modules(value).values()]
        classes = {module.class_name for module in modules}
        if other := other_networks.name_of({*classes, *torch_files.named_modules(network)}):
            raise ConversionError(
                f"this is a {other} network, not StyleGAN2; it cannot be converted ({error})"
            ) from error
        raise
    beside = snapshot if isinstance(snapshot, dict) else {}
    ignored = [brief(name) for name, value in beside.items() if name not in OTHER_ENTRIES and _is_counter(value)]
    note = [f"ignored as settings or numbers of the training: {', '.join(ignored[:5])}"] if ignored else []
    return dataclasses.replace(found, notes=(*found.notes, *note))


def is_generator(network: Module) -> bool:
    """Tells whether a module has the two parts of a StyleGAN generator of any version."""
    parts = network.state.get("_modules")
    return isinstance(parts, dict) and {"mapping", "synthesis"} <= parts.keys()


def _is_counter(value: Any) -> bool:
    """Tells whether an entry has arrays, but no network."""
    return not torch_files.networks(value) and bool(torch_files.flat_arrays(value))


def find_in_module(network: Module, **settings: Any) -> Found:
    """Finds a generator that is already in memory; see `find`."""
    config, notes = infer_config(network, **settings)
    ignored = dict.fromkeys(official_names.filter_names(config), official_names.IGNORED_FILTER)
    arrays, table = torch_files.flat_arrays(network), official_names.generator_table(config)
    return assemble(_format(network), config, arrays, table, ignored, notes)


def _format(network: Module) -> str:
    """Names the project of a generator; the blocks of the later project have an attribute more."""
    return FORMAT_SG3 if "fused_modconv_default" in network.modules["synthesis"].modules["b4"].state else FORMAT


def infer_config(network: Module, **settings: Any) -> tuple[GeneratorConfig, list[str]]:
    """Infers a generator's configuration from its modules.

    Returns:
      The configuration, and notes on points that the file leaves open.
    Raises:
      ConversionError: the architecture is not that of StyleGAN2, or layers contradict each other.
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
    arrays = torch_files.flat_arrays(network)
    check_square(arrays.get("synthesis.b4.const"), resolution)
    if _common("img_resolution", [network]) != resolution or _common("num_layers", [modules["mapping"]]) != len(dense):
        raise ConversionError(
            f"the network says it has another size than its {len(blocks)} blocks and {len(dense)} layers."
        )
    channel_base, channel_max = infer_channels({r: _features(block) for r, block in blocks.items()})
    outputs = [_outputs(arrays, f"mapping.fc{index}") for index in range(len(dense))]
    w_dim, mapping_features = infer_mapping(outputs)
    embed_features = _outputs(arrays, "mapping.embed") if "mapping.embed" in modules else w_dim
    taps, notes = taps_or_default({name: a for name, a in arrays.items() if name.endswith("resample_filter")})
    try:
        config = GeneratorConfig(
            resolution=resolution,
            z_dim=_size("z_dim", network),
            c_dim=_size("c_dim", network),
            w_dim=w_dim,
            image_channels=_size("img_channels", network),
            mapping_layers=len(dense),
            mapping_lr_multiplier=number("bias_gain", _common("bias_gain", dense)),
            channel_base=channel_base,
            channel_max=channel_max,
            architecture=_common("architecture", blocks.values()),
            conv_clamp=None if (clamp := _common("conv_clamp", clamped)) is None else number("conv_clamp", clamp),
            resample_filter=taps,
            mapping_features=mapping_features,
            embed_features=None if embed_features == w_dim else embed_features,
            **settings,
        )
    except ConversionError:
        raise
    except (TypeError, ValueError) as error:
        raise ConversionError(f"no StyleGAN2 configuration: {error}") from None
    return config, notes


def _outputs(arrays: Mapping[str, np.ndarray], name: str) -> int:
    """Returns the number of outputs of a dense layer."""
    weight = arrays.get(f"{name}.weight")
    if weight is None or weight.ndim != 2:
        raise ConversionError(f"{name}.weight is missing or no matrix.")
    return weight.shape[0]


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
    """Returns the value that an attribute has in all of the modules."""
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
