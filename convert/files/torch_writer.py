"""Writes the zip container of `torch.save` for a flat state dict, without PyTorch.

The pickle is written opcode by opcode: Python's pickler would have to import PyTorch to name its functions.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Mapping

import numpy as np

_STORAGES = {"float32": "FloatStorage"}


def write_state_dict(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as `torch.save(OrderedDict(...), path)` does; `torch.load(path, weights_only=True)` reads it.

    Args:
      path: the file to write.
      arrays: a dict {name: float32 array}.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", _pickle(arrays))
        archive.writestr("archive/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(
                f"archive/data/{key}", np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
            )
        archive.writestr("archive/version", "3\n")


def _pickle(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Writes an OrderedDict of `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)` calls."""
    empty = b"ccollections\nOrderedDict\n)R"
    body = b"\x80\x02" + empty + b"("
    for key, (name, array) in enumerate(arrays.items()):
        storage = _STORAGES[str(array.dtype)]
        strides = [step // array.itemsize for step in np.empty(array.shape, array.dtype).strides]
        reference = (
            _text("storage") + f"ctorch\n{storage}\n".encode() + _text(str(key)) + _text("cpu") + _int(array.size)
        )
        arguments = b"(" + reference + b"tQ" + _int(0) + _tuple(array.shape) + _tuple(strides) + b"\x89" + empty
        body += _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"
    return body + b"u."


def _text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _int(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tuple(values) -> bytes:
    return b"(" + b"".join(_int(int(value)) for value in values) + b"t"
