"""Writes a converted generator back under the official PyTorch names, for other tools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from convert import output_folder
from convert.files import torch_writer
from convert.formats import official_names
from jaxgan import checkpoints
from jaxgan.errors import UserError

Format = Literal["state-dict", "safetensors"]


def write(folder: Path, output: Path, file_format: Format, *, overwrite: bool = False) -> int:
    """Exports a network folder to one file, which appears whole or not at all.

    Args:
      folder: a network folder that `python -m convert stylegan2` wrote.
      output: the file to write.
      file_format: "state-dict" for the format of `torch.save(G_ema.state_dict(), ...)`, or "safetensors".
      overwrite: True replaces an existing file.
    Returns:
      The number of arrays; the `resample_filter` buffers are among them, so that a strict `load_state_dict` works.
    Raises:
      CheckpointError: the folder is no converted generator.
      UserError: the output exists.
    """
    if output.is_dir():
        raise UserError(f"{output} is a directory; expected the name of a file.")
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already; choose another file or give --overwrite.")
    generator = checkpoints.load_generator(os.fspath(folder))  # the text "demo" names the embedded network
    arrays = official_names.state_dict(generator.config, checkpoints.network_arrays(generator))
    arrays = {name: np.array(array, order="C") for name, array in arrays.items()}
    output_folder.write_file(output, lambda partial: _save(partial, arrays, file_format), size=_size(arrays))
    return len(arrays)


def _size(arrays: dict[str, np.ndarray]) -> int:
    return sum(array.nbytes + 1_000 for array in arrays.values())  # the entry's name and headers come on top


def _save(path: Path, arrays: dict[str, np.ndarray], file_format: Format) -> None:
    if file_format == "safetensors":
        import safetensors.numpy

        safetensors.numpy.save_file(arrays, path, metadata={"format": "pt"})
    else:
        torch_writer.write_state_dict(path, arrays)
