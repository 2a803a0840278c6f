"""Reads .npz and .safetensors files, which hold named arrays and nothing else."""

from __future__ import annotations

import math
import os
import zipfile

import ml_dtypes
import numpy as np

from convert.files import file_kinds
from convert.files.torch_tensors import CheckpointFileError

MAX_EXPANSION = 2
"""The largest ratio of compression; float32 weights shrink little, and a file that shrinks far more is a zip bomb."""

SAFETENSORS_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16, "BOOL": "?"}
SAFETENSORS_TYPES |= {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
SAFETENSORS_TYPES |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"}


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the arrays of `numpy.savez` or `savez_compressed`.

    Raises:
      CheckpointFileError: the file is damaged, or an array holds objects or claims another size than it has.
    """
    size = os.path.getsize(path)
    try:
        with file_kinds.named(path), zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(info.file_size for info in entries) > MAX_EXPANSION * size:
                raise CheckpointFileError(
                    f"{path} unpacks to more than {MAX_EXPANSION} times its size, which weights never do; refused. If "
                    "it is no zip bomb, write it again with numpy.savez."
                )
            return {info.filename.removesuffix(".npy"): _read_npy(archive, info) for info in entries}
    except CheckpointFileError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy's header parser raise almost anything on damaged input
        reason = " ".join(str(error).split())[:200]
        raise CheckpointFileError(f"{path}: truncated or damaged .npz ({type(error).__name__}: {reason}).") from None


def _read_npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = readers[version](file)
        if dtype.kind not in "biuf" or any(n < 0 for n in shape):
            raise CheckpointFileError(f"{info.filename} has dtype {dtype} and shape {shape}; expected plain numbers.")
        data = file.read(info.file_size)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise CheckpointFileError(f"{info.filename} of shape {shape} has {len(data)} bytes; truncated or damaged.")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads a .safetensors file.

    Raises:
      CheckpointFileError: the file is damaged, or a tensor has a type that NumPy lacks.
    """
    import safetensors

    try:
        with open(path, "rb") as file:
            entries = safetensors.deserialize(file.read())
    except safetensors.SafetensorError as error:
        raise CheckpointFileError(f"{path}: truncated or damaged .safetensors ({error}).") from None
    if unknown := [f"{name} ({entry['dtype']})" for name, entry in entries if entry["dtype"] not in SAFETENSORS_TYPES]:
        raise CheckpointFileError(f"{path} has tensors of types that are not read: {', '.join(unknown[:5])}.")
    return {
        name: np.frombuffer(entry["data"], SAFETENSORS_TYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in entries
    }
