"""Finds the StyleGAN2 generator in a file of any supported format, told by its content and not by its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from convert.files import array_files, file_kinds, torch_files
from convert.files.stand_ins import TensorflowNetwork
from convert.files.torch_tensors import CheckpointFileError
from convert.formats import other_networks, snapshot, state_dicts, tensorflow
from convert.formats.roles import Which
from convert.found import Found
from convert.rules import ConversionError, NothingFoundError
from jaxgan.generator_config import GeneratorConfig


def read(
    path: str | os.PathLike, *, which: Which = "g_ema", like: Path | None = None, **settings: Any
) -> tuple[GeneratorConfig, dict[str, np.ndarray]]:
    """Reads a generator from a file, see `find`.

    Returns:
      The configuration and {"synthesis/b4/const": array, ...}, as `jaxgan.checkpoints.save_generator` takes them.
    Raises:
      CheckpointFileError: the file cannot be read.
      ConversionError: the file holds another network, or its arrays do not fit.
    """
    found = find(path, which=which, like=like, **settings)
    with file_kinds.named(path):
        return found.config, found.weights()


def find(path: str | os.PathLike, *, which: Which = "g_ema", like: Path | None = None, **settings: Any) -> Found:
    """Finds the generator in a file.

    Args:
      path: a snapshot of the StyleGAN2-ADA or StyleGAN3 project or one network of it, a TensorFlow-era pickle, a file
        of rosinality's, BasicSR's or genforce's, one of e4e, pSp, HyperStyle or GFPGAN (their decoder), or a state dict
        (.pt, .safetensors, .npz).
      which: the exponential moving average of the weights, which is better as a rule, or the last weights.
      like: the config.json of a network of the same architecture, for a state dict under the official names.
      settings: further fields of the configuration, e.g. `alignment_scale`.
    Raises:
      CheckpointFileError: the file cannot be read.
      ConversionError: the file holds another network.
    """
    return find_in_content(path, read_content(path), which=which, like=like, **settings)


def find_in_content(
    path: str | os.PathLike, content: Any, *, which: Which, like: Path | None, **settings: Any
) -> Found:
    """Finds the generator in the content that `read_content` has read; `path` is for the messages."""
    with file_kinds.named(path):
        try:
            return _find(content, which, like, settings)
        except NothingFoundError as error:
            if not (name := torch_files.unknown_name(content)):
                raise
            other = other_networks.name_in_pickle(path)
            raise CheckpointFileError(
                f"{error} The file asks for {name}, which is not on the list of allowed globals; refused, nothing was "
                f"run.{f' It seems to be a {other} network, which is not supported.' if other else ''}"
            ) from error


def _find(content: Any, which: Which, like: Path | None, settings: dict[str, Any]) -> Found:
    if _is_tensorflow(content):
        found = tensorflow.find(content, which=which, **settings)
    elif _is_snapshot(content):
        found = snapshot.find(content, which=which, **settings)
    else:
        return state_dicts.find(torch_files.flat_arrays(content), which=which, like=like, **settings)
    if like is not None:
        raise ConversionError(f"a file of the format {found.format} describes itself; leave --like out.")
    return found


def _is_tensorflow(content: Any) -> bool:
    values = content if isinstance(content, (tuple, list)) else (content,)
    return any(isinstance(value, TensorflowNetwork) for value in values)


def _is_snapshot(content: Any) -> bool:
    """Tells whether networks are read by their modules; whole networks of other projects are read by name."""
    networks = torch_files.networks(content).values()
    if any(snapshot.is_generator(network) for network in networks):
        return True  # the other entries need not be looked into
    return bool(networks) and not state_dicts.is_of_another_project(torch_files.flat_arrays(content))


def needs_example(content: Any) -> bool:
    """Tells whether the content is a state dict under the official names, which does not describe its whole network."""
    if _is_tensorflow(content) or _is_snapshot(content):
        return False
    return state_dicts.OFFICIAL_SIGN in state_dicts.signs(torch_files.flat_arrays(content)).values()


def read_content(path: str | os.PathLike) -> Any:
    """Reads everything in a file as plain data.

    Raises:
      CheckpointFileError: the file cannot be read; the message names another network if names in the file tell it.
      ConversionError: the file is a TorchScript archive.
    """
    kind = file_kinds.recognise(path)
    if kind == "torchscript":
        raise ConversionError(f"{path} is a TorchScript archive, not a generator.")
    if kind == "npz":
        return array_files.read_npz(path)
    if kind == "safetensors":
        return array_files.read_safetensors(path)
    if kind in ("legacy", "zip"):
        return torch_files.read_tensors(path)
    return torch_files.read_snapshot(path)
