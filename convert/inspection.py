"""Describes a checkpoint file without converting it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convert import stylegan2
from convert.files import file_kinds, torch_files
from convert.files.stand_ins import Module, Opaque, TensorflowNetwork
from convert.files.torch_tensors import CheckpointFileError
from convert.found import Found
from convert.rules import ConversionError
from jaxgan.generator_config import GeneratorConfig
from jaxgan.pickles import brief


def describe(path: Path, *, which: stylegan2.Which, like: Path | None) -> list[str]:
    """Describes a file in lines: its entries, the generator's architecture and every array with its destiny.

    A network that is not supported is described all the same.

    Raises:
      CheckpointFileError: the file cannot be read at all.
    """
    content = stylegan2.read_content(path)
    with file_kinds.named(path):
        lines = _describe(path, content, which, like)
    return [line.replace("\n", "\\n") for line in lines]  # the names in a file may be any text


def _describe(path: Path, content: Any, which: stylegan2.Which, like: Path | None) -> list[str]:
    lines = [f"  {name}: {kind}" for name, kind in _entries(content)]
    try:
        found = stylegan2.find_in_content(path, content, which=which, like=like)
    except (CheckpointFileError, ConversionError) as error:
        arrays = torch_files.flat_arrays(content)
        return [*lines, f"cannot be converted: {error}", *_table({n: (a, "") for n, a in arrays.items()})]
    return [*lines, *architecture(found), *_table(_destinies(found))]


def architecture(found: Found) -> list[str]:
    """Describes a generator's format and configuration in lines."""
    config: GeneratorConfig = found.config
    channels = ", ".join(str(config.channels(resolution)) for resolution in config.block_resolutions)
    return [
        f"format {found.format}",
        f"  StyleGAN2 {config.architecture}, {config.resolution}x{config.resolution}, channels {channels}",
        f"  z {config.z_dim}, c {config.c_dim}, w {config.w_dim}, "
        f"{config.mapping_layers} mapping layers{_widths(config)}, num_ws {config.num_ws}, "
        f"image channels {config.image_channels}, conv_clamp {config.conv_clamp}, "
        f"resample filter {config.resample_filter}",
        *(f"  note: {note}" for note in found.notes),
    ]


def _widths(config: GeneratorConfig) -> str:
    """Describes the widths inside the mapping network, where they are not `w_dim`."""
    widths = {"wide": config.mapping_features, "of the embedded label": config.embed_features}
    shown = [f"{width} {what}" for what, width in widths.items() if width]
    return f" ({', '.join(shown)})" if shown else ""


def _entries(content: Any) -> list[tuple[str, str]]:
    """Lists the entries at the top of the file."""
    if isinstance(content, (Module, TensorflowNetwork)):
        return [("the file", _kind(content))]
    if isinstance(content, (tuple, list)):
        return [(f"entry {index}", _kind(value)) for index, value in enumerate(content[:10])]
    if isinstance(content, dict) and not all(isinstance(value, np.ndarray) for value in content.values()):
        return [(brief(name), _kind(value)) for name, value in list(content.items())[:50]]
    return []


def _kind(value: Any) -> str:
    if isinstance(value, Opaque) and not value.state:
        return f"opaque, {brief(value.class_path)}"
    if isinstance(value, Module):
        try:
            return f"{brief(value.class_name)}, {_count(torch_files.flat_arrays(value))}"
        except CheckpointFileError as error:  # a network that nobody asked for may hold anything
            return f"{brief(value.class_name)}, not described: {error}"
    if isinstance(value, TensorflowNetwork):
        return f"TensorFlow network {brief(value.state.get('name'))}"
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {value.dtype}"
    if isinstance(value, (dict, list, tuple)):
        return f"{len(value)} entries, {_count(torch_files.flat_arrays(value))}"
    return brief(value)


def _count(arrays: Mapping[str, np.ndarray]) -> str:
    return f"{len(arrays)} arrays of {sum(array.size for array in arrays.values()):,} numbers"


def _destinies(found: Found) -> dict[str, tuple[np.ndarray, str]]:
    """Returns {name: (array, our path or the reason why it is ignored)}."""
    rows = {}
    for name, array in found.arrays.items():
        if name in found.table:
            path, transform = found.table[name]
            rows[name] = array, f"{path} ({transform.name})"
        else:
            rows[name] = array, f"ignored: {found.ignored[name]}" if name in found.ignored else "unknown"
    return rows


def _table(rows: Mapping[str, tuple[np.ndarray, str]]) -> list[str]:
    width = max((len(name) for name in rows), default=0)
    table = [
        f"  {name:{width}}  {'x'.join(map(str, array.shape)) or 'scalar':>16}  {array.dtype!s:8} {destiny}".rstrip()
        for name, (array, destiny) in rows.items()
    ]
    return [f"{len(rows)} arrays, {sum(array.size for array, _ in rows.values()):,} numbers", *table]
