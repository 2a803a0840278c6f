"""Writes random networks in every format that the converter reads."""

import pickle
import sys
import types

import numpy as np
import torch

from convert import rules
from convert.formats import basicsr, genforce, official_names, rosinality, tensorflow
from convert.found import expected_shapes
from experiments.bench.snapshot_writer import write_snapshot
from jaxgan.generator_config import GeneratorConfig

NETWORKS = {
    "orig, gray, 2 layers": GeneratorConfig(
        16, z_dim=12, w_dim=20, mapping_layers=2, channel_base=128, channel_max=16, image_channels=1,
        architecture="orig",
    ),
    "resnet, conditional, clamped": GeneratorConfig(
        16, z_dim=20, c_dim=4, w_dim=20, channel_base=64, channel_max=8, architecture="resnet", conv_clamp=256.0,
        mapping_features=28, embed_features=12,
    ),
    "resnet, small": GeneratorConfig(
        8, z_dim=12, w_dim=12, mapping_layers=3, mapping_features=20, channel_base=64, channel_max=8,
        architecture="resnet",
    ),
    "skip, RGBA, 8 layers, narrow": GeneratorConfig(
        32, z_dim=16, w_dim=16, channel_base=128, channel_max=32, image_channels=4
    ),
    "skip, other filter": GeneratorConfig(
        16, z_dim=16, w_dim=16, mapping_layers=1, channel_base=64, channel_max=8, resample_filter=(1.0, 2.0, 2.0, 1.0)
    ),
    "skip, long filter": GeneratorConfig(
        8, z_dim=16, w_dim=16, mapping_layers=1, channel_base=64, channel_max=8,
        resample_filter=(1.0, 5.0, 10.0, 10.0, 5.0, 1.0),
    ),
}  # fmt: skip


def random_weights(config: GeneratorConfig) -> dict[str, np.ndarray]:
    """Nothing is zero by accident."""
    random = np.random.default_rng(0)
    return {path: random.standard_normal(leaf.shape, np.float32) for path, leaf in expected_shapes(config).items()}


def rosinality_arrays(config, weights) -> dict[str, torch.Tensor]:
    """Without `latent_avg`; kernels are stored times 4."""
    arrays = rules.to_torch(rosinality.generator_table(config), weights)
    del arrays["latent_avg"]
    kernel = 4 * official_names.filter_array(config)
    for index in range(len(config.block_resolutions) - 1):
        arrays[f"convs.{2 * index}.conv.blur.kernel"] = arrays[f"to_rgbs.{index}.upsample.kernel"] = kernel
    return {name: torch.tensor(np.ascontiguousarray(array)).reshape(array.shape) for name, array in arrays.items()}


def named_arrays(table, weights) -> dict[str, torch.Tensor]:
    """The arrays that a table names."""
    arrays = rules.to_torch(table, weights)
    return {name: torch.tensor(np.array(array, order="C")).reshape(array.shape) for name, array in arrays.items()}


def basicsr_arrays(config, weights) -> dict[str, torch.Tensor]:
    """BasicSR's files have no filters and no mean latent."""
    table = {basicsr.spelled(name): entry for name, entry in rosinality.generator_table(config).items()}
    return {name: array for name, array in named_arrays(table, weights).items() if name != "latent_avg"}


def genforce_arrays(config, weights) -> dict[str, torch.Tensor]:
    """Kernels are stored times 4."""
    arrays = named_arrays(genforce.generator_table(config), weights)
    kernel = torch.tensor(4 * official_names.filter_array(config))[None, None]
    return arrays | {"synthesis.layer1.filter.kernel": kernel}


class _Network:
    def __init__(self, **state):
        self.__dict__.update(state)


def write_tensorflow(path, config, weights, **arguments) -> None:
    """A tuple of three networks, as TensorFlow's `dnnlib` pickles it."""
    arrays = rules.to_torch(tensorflow.generator_table(config), weights)
    kwargs = {"resolution": config.resolution, "num_channels": config.image_channels, "label_size": config.c_dim}
    kwargs |= {"fmap_base": config.channel_base // 2, "fmap_max": config.channel_max, "conv_clamp": config.conv_clamp}
    kwargs |= {"architecture": config.architecture, "resample_kernel": [int(tap) for tap in config.resample_filter]}
    kwargs |= {"latent_size": config.z_dim, "dlatent_size": config.w_dim, "mapping_layers": config.mapping_layers}

    def part(prefix):
        own = [(name[len(prefix) :], array) for name, array in arrays.items() if name.startswith(prefix)]
        own = [(n, np.float32(a) if a.ndim == 0 else np.ascontiguousarray(a)) for n, a in own if prefix or "/" not in n]
        return {"version": 5, "name": "G", "static_kwargs": kwargs | arguments, "variables": own}

    components = {name: _Network(**part(f"{name}/"), components={}) for name in ("mapping", "synthesis")}
    generator = _Network(**part(""), components=components)
    generator.variables.append(("lod", np.float32(0)))
    modules = {name: types.ModuleType(name) for name in ("dnnlib", "dnnlib.tflib", "dnnlib.tflib.network")}
    modules["dnnlib.tflib.network"].Network = _Network
    _Network.__module__, _Network.__qualname__ = "dnnlib.tflib.network", "Network"
    sys.modules.update(modules)
    try:
        path.write_bytes(pickle.dumps((generator, _Network(variables=[]), generator), 3))
    finally:
        for name in modules:
            del sys.modules[name]


def write(path, file_format, config, weights) -> None:
    """Writes a network in the format of a name that `convert.found.Found` has."""
    if file_format == "stylegan2-ada-pytorch":
        write_snapshot(path, config, weights)
    elif file_format == "stylegan2-tensorflow":
        write_tensorflow(path, config, weights)
    elif file_format == "basicsr":
        torch.save({"params_ema": basicsr_arrays(config, weights)}, path)
    elif file_format == "genforce":
        torch.save({"models": {"generator_smooth": genforce_arrays(config, weights)}}, path)
    else:
        latent_avg = torch.tensor(weights["mapping/w_avg"])
        arrays = rosinality_arrays(config, weights)
        if file_format == "rosinality":
            torch.save({"g_ema": arrays, "latent_avg": latent_avg}, path)
        else:
            decoder = {f"decoder.{name}": array for name, array in arrays.items()}
            encoder = {"encoder.input_layer.0.weight": torch.zeros(3, 3)}
            state = {"state_dict": encoder | decoder, "latent_avg": latent_avg.repeat(config.num_ws, 1)}
            torch.save({**state, "opts": {"device": "cuda:0", "lr": 1e-4}}, path)
