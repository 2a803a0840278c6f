"""Reads generators in pickles of the TensorFlow era (`stylegan2-ffhq-config-f.pkl`, ...), tuples (G, D, Gs).

A network is a list of named variables, a dict of keyword arguments and two components, `mapping` and `synthesis`.
Kernels are HWIO and IO as ours. Those of up-convolutions are stored flipped; the biases of affine layers lack the 1.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, arXiv 1912.04958.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convert import rules
from convert.files.stand_ins import TensorflowNetwork
from convert.formats import other_networks
from convert.formats.roles import Which
from convert.found import Found, assemble
from convert.inference import architecture_of, check_square, infer_channels, infer_mapping, number, plain, vector_size
from convert.rules import BATCHED_FEATURES, FLIPPED_CONV, IDENTITY, MAP, PLUS_ONE, ConversionError, NothingFoundError
from jaxgan.generator_config import GeneratorConfig
from jaxgan.pickles import brief

FORMAT = "stylegan2-tensorflow"
IGNORED = dict.fromkeys(("lod", "synthesis/lod"), "level of detail of progressive growing, always 0 in StyleGAN2")
GROWN = "StyleGAN2 network of configuration B, C or D, which grows progressively"
GROWN_SIGN = "synthesis/ToRGB_lod0/mod_weight"
"""The name of an array that tells such a network from a progressive GAN, which has no modulation."""
GROWN_IGNORED = "an image of a lower resolution, used while the network grew"
REQUIRED = {"nonlinearity": "lrelu", "mapping_nonlinearity": "lrelu", "use_noise": True, "normalize_latents": True}
"""Arguments that change the network without changing a shape; each must be at its default or absent."""


def find(networks: TensorflowNetwork | Sequence, *, which: Which, **settings: Any) -> Found:
    """Finds a generator in a pickle.

    Args:
      networks: (G, D, Gs), as `convert.files.torch_files.read_snapshot` reads them, where some may be None; or one
        network alone.
      which: Gs, the moving average of the weights, or G.
      settings: further fields of the configuration, e.g. `alignment_scale`.
    Raises:
      NothingFoundError: the generator is not there.
      ConversionError: the pickle holds another network, or one with an option that is not supported.
    """
    network = _choose(networks if isinstance(networks, (tuple, list)) else (networks,), which)
    arrays, arguments = _variables(network), _arguments(network)
    notes = []
    if GROWN_SIGN in arrays:
        if np.any(arrays.get("synthesis/lod", 0) != 0):
            raise ConversionError(f"this is a {GROWN} that has not grown to its full resolution; it is not supported.")
        notes = [f"this is a {GROWN}: converted at its full resolution (level of detail 0), as the architecture orig"]
    elif other := other_networks.name_of(arrays):
        raise ConversionError(f"this is a {other} network, not StyleGAN2; it cannot be converted.")
    version = network.state.get("version")
    if type(version) is not int or version < 4:
        raise ConversionError(f"the network's state has version {brief(version)}; StyleGAN2's is 4 or 5.")
    if wrong := [f"{k} {brief(arguments[k])}" for k, v in REQUIRED.items() if plain(k, arguments.get(k, v)) != v]:
        raise ConversionError(f"the network has {', '.join(wrong)}; supported is {REQUIRED}.")
    config = _infer_config(arrays, arguments, settings)
    to_rgb = f"synthesis/{config.resolution}x{config.resolution}/ToRGB/"
    table = generator_table(config)
    ignored = dict(IGNORED)
    if GROWN_SIGN in arrays:
        table = {name.replace(to_rgb, "synthesis/ToRGB_lod0/"): entry for name, entry in table.items()}
        ignored |= {name: GROWN_IGNORED for name in arrays if re.match(r"synthesis/ToRGB_lod([1-9]|1\d)/", name)}
    return assemble(FORMAT, config, arrays, table, ignored, notes)


def _choose(networks: Sequence, which: Which) -> TensorflowNetwork:
    """Returns the network of a role. A network that lies alone is Gs unless it calls itself G."""
    if len(networks) not in (1, 3) or not all(n is None or isinstance(n, TensorflowNetwork) for n in networks):
        raise ConversionError(
            f"a TensorFlow-era pickle holds networks (G, D, Gs), or one alone; this one has {len(networks)} entries."
        )
    alone = len(networks) == 1
    names = ("G" if networks[0].state.get("name") == "G" else "Gs",) if alone else ("G", "D", "Gs")
    held = {name: network for name, network in zip(names, networks, strict=True) if network is not None}
    name, other, hint = ("Gs", "G", "use --which g") if which == "g_ema" else ("G", "Gs", "leave --which out")
    if name not in held:
        hint = f": {hint}" if other in held else ""
        raise NothingFoundError(f"there is no network {name}; the file holds {', '.join(held)}{hint}.")
    return held[name]


def generator_table(config: GeneratorConfig) -> rules.Table:
    """Makes the table {"synthesis/8x8/Conv0_up/weight": ("synthesis/b8/conv0/kernel", FLIPPED_CONV), ...}."""
    table: dict[str, tuple[str, rules.Transform]] = {"dlatent_avg": ("mapping/w_avg", IDENTITY)}

    def dense(name: str, path: str) -> None:
        table[f"mapping/{name}/weight"] = (f"mapping/{path}/kernel", IDENTITY)
        table[f"mapping/{name}/bias"] = (f"mapping/{path}/bias", IDENTITY)

    def modulated(name: str, path: str, weight: rules.Transform) -> None:
        table[f"{name}/weight"] = (f"{path}/kernel", weight)
        table[f"{name}/bias"] = (f"{path}/bias", IDENTITY)
        table[f"{name}/mod_weight"] = (f"{path}/affine/kernel", IDENTITY)
        table[f"{name}/mod_bias"] = (f"{path}/affine/bias", PLUS_ONE)

    def convolution(name: str, path: str, weight: rules.Transform, noise: int) -> None:
        modulated(name, path, weight)
        table[f"{name}/noise_strength"] = (f"{path}/noise_strength", IDENTITY)
        table[f"synthesis/noise{noise}"] = (f"{path}/noise_const", MAP)

    if config.c_dim:
        dense("LabelEmbed", "embed")
    for index in range(config.mapping_layers):
        dense(f"Dense{index}", f"fc{index}")
    for level, r in enumerate(config.block_resolutions, start=2):  # r = 2 ** level
        name, path = f"synthesis/{r}x{r}", f"synthesis/b{r}"
        if r == 4:
            table[f"{name}/Const/const"] = (f"{path}/const", BATCHED_FEATURES)
            convolution(f"{name}/Conv", f"{path}/conv1", IDENTITY, 0)
        else:
            convolution(f"{name}/Conv0_up", f"{path}/conv0", FLIPPED_CONV, 2 * level - 5)
            convolution(f"{name}/Conv1", f"{path}/conv1", IDENTITY, 2 * level - 4)
        if config.architecture == "resnet" and r > 4:
            table[f"{name}/Skip/weight"] = (f"{path}/skip/kernel", FLIPPED_CONV)
        if config.architecture == "skip" or r == config.resolution:
            modulated(f"{name}/ToRGB", f"{path}/torgb", IDENTITY)
    return table


def _infer_config(
    arrays: Mapping[str, np.ndarray], arguments: Mapping[str, Any], settings: Mapping[str, Any]
) -> GeneratorConfig:
    levels = {int(m[1]): m[2] for name in arrays if (m := re.match(r"synthesis/(\d{1,5})x\1/(Conv1?)/weight$", name))}
    dense = [name for name in arrays if re.fullmatch(r"mapping/Dense\d{1,3}/weight", name)]
    if 4 not in levels or not dense:
        raise ConversionError("this is no StyleGAN2 generator: no 4x4 block or mapping network.")
    resolution = max(levels)
    check_square(arrays.get("synthesis/4x4/Const/const"), resolution)
    channels = {r: vector_size(arrays, f"synthesis/{r}x{r}/{conv}/bias") for r, conv in levels.items()}
    channel_base, channel_max = infer_channels(channels)
    to_rgb = "synthesis/ToRGB_lod0" if GROWN_SIGN in arrays else f"synthesis/{resolution}x{resolution}/ToRGB"
    kernels = [arrays.get(f"mapping/Dense{index}/weight", np.zeros(0)) for index in range(len(dense))]
    if any(kernel.ndim != 2 for kernel in kernels):
        raise ConversionError("a mapping/Dense weight is missing or no matrix.")
    w_dim, mapping_features = infer_mapping([kernel.shape[1] for kernel in kernels])
    labels = arrays.get("mapping/LabelEmbed/weight")
    c_dim, embed_features = labels.shape if labels is not None and labels.ndim == 2 and len(labels) else (0, w_dim)
    z_dim = kernels[0].shape[0] - (embed_features if c_dim else 0)
    architecture = architecture_of(
        has_skip=f"synthesis/{resolution}x{resolution}/Skip/weight" in arrays,
        early_torgb="synthesis/4x4/ToRGB/weight" in arrays,
        resolution=resolution,
    )
    stated = {
        "resolution": resolution,
        "label_size": c_dim,
        "latent_size": z_dim,
        "dlatent_size": w_dim,
        "mapping_layers": len(dense),
        "architecture": architecture,
    }
    stated = {k: v for k, v in stated.items() if k != "architecture" or GROWN_SIGN not in arrays}
    wrong = [(k, v) for k, v in stated.items() if plain(k, arguments.get(k, v)) != v]
    if wrong:
        shown = ", ".join(f"{k} {brief(arguments[k])} (found {v})" for k, v in wrong)
        raise ConversionError(f"the network's arguments contradict its variables: {shown}")
    clamp, taps = arguments.get("conv_clamp"), arguments.get("resample_kernel")
    taps = (1, 3, 3, 1) if taps is None else taps.tolist() if isinstance(taps, np.ndarray) else taps
    if not isinstance(taps, (list, tuple)) or len(taps) > 32:
        raise ConversionError(f"no StyleGAN2 configuration: resample_kernel is {brief(taps)}; expected a few taps.")
    try:
        return GeneratorConfig(
            resolution=resolution,
            z_dim=z_dim,
            c_dim=c_dim,
            w_dim=w_dim,
            image_channels=vector_size(arrays, f"{to_rgb}/bias"),
            mapping_layers=len(dense),
            mapping_features=mapping_features,
            embed_features=None if embed_features == w_dim else embed_features,
            mapping_lr_multiplier=number("mapping_lrmul", arguments.get("mapping_lrmul", 0.01)),
            channel_base=channel_base,
            channel_max=channel_max,
            architecture=architecture,
            conv_clamp=None if clamp is None else number("conv_clamp", clamp),
            resample_filter=tuple(number("a tap", tap) for tap in taps),
            **settings,
        )
    except ConversionError:
        raise
    except (TypeError, ValueError) as error:
        raise ConversionError(f"no StyleGAN2 configuration: {error}") from None


def _variables(network: TensorflowNetwork) -> dict[str, np.ndarray]:
    """Returns the variables of a network and those of its components, as "mapping/..." and "synthesis/..."."""
    parts = {"": network.state} | {f"{name}/": part.state for name, part in _components(network).items()}
    arrays: dict[str, np.ndarray] = {}
    for prefix, state in parts.items():
        variables = state.get("variables")
        if not isinstance(variables, (list, tuple)):
            raise ConversionError("a network has no list of variables.")
        for entry in variables:
            named = isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[0], str)
            if not named or not isinstance(entry[1], (np.ndarray, np.generic, int, float)):
                raise ConversionError("a variable is no pair of a name and numbers.")
            if (name := prefix + entry[0]) in arrays:
                raise ConversionError(f"the variable {name[:100]} stands twice.")
            arrays[name] = np.asarray(entry[1])
    return arrays


def _arguments(network: TensorflowNetwork) -> dict[str, Any]:
    """Returns the keyword arguments that are in force; the components' own come before those of the network."""
    merged: dict[str, Any] = {}
    for part in (network, *_components(network).values()):
        arguments = part.state.get("static_kwargs", {})
        if not isinstance(arguments, dict):
            raise ConversionError("a network's static_kwargs are no dict.")
        merged |= arguments
    return merged


def _components(network: TensorflowNetwork) -> dict[str, TensorflowNetwork]:
    components = network.state.get("components", {})
    if not isinstance(components, dict) or not all(isinstance(c, TensorflowNetwork) for c in components.values()):
        raise ConversionError("a network's components are no dict of networks.")
    return {str(name): part for name, part in components.items()}
