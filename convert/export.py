"""Writes a converted generator back under the official PyTorch names, for other tools."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np

from convert import official_names, torch_writer
from jaxgan import checkpoints
from jaxgan.errors import UserError

Format = Literal["state-dict", "safetensors"]


def write(folder: Path, output: Path, file_format: Format, *, overwrite: bool = False) -> int:
    """Exports a network folder to one file, which appears whole or not at all.

    Args:
      folder: written by `python -m convert stylegan2`.
      output: the file.
      file_format: "state-dict" as `torch.save(G_ema.state_dict(), ...)` writes it, or "safetensors".
      overwrite: replace an existing file.
    Returns:
      Number of arrays; the `resample_filter` buffers are among them, so that a strict `load_state_dict` works.
    Raises:
      CheckpointError: the folder is no converted generator.
      UserError: the output exists.
    """
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already; choose another file or give --overwrite.")
    generator = checkpoints.load_generator(folder)
    arrays = official_names.state_dict(generator.config, checkpoints.network_arrays(generator))
    arrays = {name: np.array(array, order="C") for name, array in arrays.items()}
    handle, partial = tempfile.mkstemp(prefix=f".{output.name}-", dir=output.parent)
    os.close(handle)
    try:
        if file_format == "safetensors":
            import safetensors.numpy

            safetensors.numpy.save_file(arrays, partial, metadata={"format": "pt"})
        else:
            torch_writer.write_state_dict(partial, arrays)
        os.chmod(partial, 0o644)
        os.replace(partial, output)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return len(arrays)
