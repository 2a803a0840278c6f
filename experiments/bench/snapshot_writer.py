"""Writes snapshots in the format of the StyleGAN2-ADA project, for benchmarks and tests; needs PyTorch.

The modules that such pickles name exist only while a file is written, and the source text in them is a comment.
"""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convert.formats import official_names
from jaxgan.generator_config import GeneratorConfig

DISCRIMINATOR_NUMBERS = 29_000_000
"""Parameters of the 1024x1024 discriminator, of which only the size matters here (StyleGAN2, Table 5)."""


def _reconstruct_persistent_obj(meta: Any) -> None:
    raise NotImplementedError("only its name is used")


class _Persistent:
    """Pickles as a persistent object: a class name and the `__dict__` of a module."""

    def __init__(self, class_name: str, **attributes: Any):
        self.class_name = class_name
        self.state = {"_parameters": {}, "_buffers": {}, "_modules": {}, "training": False, **attributes}

    def __reduce__(self) -> tuple:
        meta = {"type": "class", "version": 6, "module_src": "# none", "class_name": self.class_name}
        return _reconstruct_persistent_obj, ({**meta, "state": self.state},)


def write_snapshot(
    path: Path, config: GeneratorConfig, weights: Mapping[str, np.ndarray], *, discriminator_numbers: int = 1000
) -> None:
    """Writes {"G": ..., "D": ..., "G_ema": ...}, G and G_ema with the same weights.

    Args:
      path: file to write.
      config, weights: a generator, as `jaxgan.checkpoints.save_generator` takes it.
      discriminator_numbers: size of D.
    """
    arrays = official_names.state_dict(config, weights)
    # One array as the real one's many: their number does not matter for its size.
    discriminator = _Persistent("Discriminator")
    discriminator.state["_parameters"]["weight"] = torch.randn(discriminator_numbers)
    content = {
        "training_set_kwargs": {"path": "photos.zip"},
        "G": _generator(config, arrays),
        "D": discriminator,
        "G_ema": _generator(config, arrays),
        "augment_pipe": None,
    }
    with _fake_modules(), open(path, "wb") as file:
        pickle.dump(content, file, 4)


def _generator(config: GeneratorConfig, arrays: Mapping[str, np.ndarray]) -> _Persistent:
    sizes = {"z_dim": config.z_dim, "c_dim": config.c_dim, "w_dim": config.w_dim}
    root = _Persistent("Generator", img_resolution=config.resolution, img_channels=config.image_channels, **sizes)
    for name, array in arrays.items():
        *parents, leaf = name.split(".")
        module = root
        for depth, part in enumerate(parents):
            children = module.state["_modules"]
            module = children.setdefault(part, _module(config, parents[: depth + 1]))
        kind = "_parameters" if leaf in ("weight", "bias", "const", "noise_strength") else "_buffers"
        module.state[kind][leaf] = torch.tensor(np.ascontiguousarray(array)).reshape(array.shape)  # a copy of its own
    return root


def _module(config: GeneratorConfig, path: list[str]) -> _Persistent:
    """An empty module of the class that stands at this place, with the attributes that say what is in force."""
    name = path[-1]
    if len(path) == 1:
        layers = {"num_layers": config.mapping_layers} if name == "mapping" else {}
        return _Persistent("MappingNetwork" if name == "mapping" else "SynthesisNetwork", **layers)
    if name.startswith("fc"):
        return _Persistent("FullyConnectedLayer", bias_gain=config.mapping_lr_multiplier)
    if name in ("embed", "affine"):
        return _Persistent("FullyConnectedLayer", bias_gain=1)
    if name in ("conv0", "conv1"):
        attributes = {"activation": "lrelu", "use_noise": True, "up": 2 if name == "conv0" else 1}
        return _Persistent("SynthesisLayer", conv_clamp=config.conv_clamp, **attributes)
    if name == "torgb":
        return _Persistent("ToRGBLayer", conv_clamp=config.conv_clamp)
    if name == "skip":
        return _Persistent("Conv2dLayer")
    return _Persistent("SynthesisBlock", architecture=config.architecture)


@contextmanager
def _fake_modules() -> Iterator[None]:
    """Lets pickle find `torch_utils.persistence._reconstruct_persistent_obj` by name."""
    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")
    package.persistence, module._reconstruct_persistent_obj = module, _reconstruct_persistent_obj
    before = _reconstruct_persistent_obj.__module__
    _reconstruct_persistent_obj.__module__ = module.__name__
    sys.modules.update({package.__name__: package, module.__name__: module})
    try:
        yield
    finally:
        del sys.modules[package.__name__], sys.modules[module.__name__]
        _reconstruct_persistent_obj.__module__ = before
