"""Tensors and storages of PyTorch's two containers, read as NumPy arrays by an allow-list unpickler.

A storage is a flat run of numbers, a tensor a strided window on one. Both containers pickle the tensors and refer to
the storages by persistent id; the legacy stream appends the numbers, the zip keeps them in `data/KEY`.
"""

from __future__ import annotations

import io
import math
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from jaxgan import safe_pickle
from jaxgan.errors import UserError
from jaxgan.safe_pickle import Globals


class CheckpointFileError(UserError):
    """A file is no checkpoint that can be read, or one that must not be."""


LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_TUPLES = 20_000
"""Nested tuples as a dict key overflow Python's C stack: seen from 300,000 on; the largest reference file has 1,000."""

STORAGE_TYPES: Globals = {
    ("torch", "HalfStorage"): np.float16,
    ("torch", "FloatStorage"): np.float32,
    ("torch", "DoubleStorage"): np.float64,
    ("torch", "ByteStorage"): np.uint8,
    ("torch", "CharStorage"): np.int8,
    ("torch", "ShortStorage"): np.int16,
    ("torch", "IntStorage"): np.int32,
    ("torch", "LongStorage"): np.int64,
    ("torch", "BoolStorage"): np.bool_,
}


def rebuild_tensor(
    storage: np.ndarray,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool = False,
    hooks: Any = None,
    metadata: Any = None,
) -> np.ndarray:
    """`torch._utils._rebuild_tensor_v2`: a read-only view of `storage`, so that sharing and late filling both work."""
    numbers = (offset, *size, *stride)
    if not isinstance(storage, np.ndarray) or storage.ndim != 1 or len(size) != len(stride):
        raise CheckpointFileError("a tensor has no storage, or another number of strides than of dimensions.")
    if any(type(n) is not int or n < 0 for n in numbers):
        raise CheckpointFileError(f"a tensor has offset {offset}, shape {size} and strides {stride}.")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else offset
    # A stride of zero would let a few bytes claim any number of elements.
    if count > storage.size or (count and last >= storage.size):
        raise CheckpointFileError(
            f"a tensor of shape {size}, strides {stride}, offset {offset} exceeds its storage of {storage.size}."
        )
    if not count:
        return np.zeros(size, storage.dtype)
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)


def rebuild_parameter(data: np.ndarray, requires_grad: bool = True, hooks: Any = None) -> np.ndarray:
    """`torch._utils._rebuild_parameter`: a parameter is its tensor."""
    return data


TENSOR_GLOBALS: Globals = {
    **STORAGE_TYPES,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch", "Size"): tuple,
    ("collections", "OrderedDict"): OrderedDict,
}


def load_pickle(file: BinaryIO, allowed: Globals, *, persistent_load: Callable[[Any], Any] | None = None) -> Any:
    """Reads one pickle and leaves `file` behind it, after a look at its opcodes.

    Args:
      file: seekable; its `read` must return no more than there is (a BytesIO or an mmap), whatever a pickle claims.
      allowed, persistent_load: as in `safe_pickle.load`.
    Raises:
      CheckpointFileError: the pickle is truncated, damaged, claims more than it has, or names a refused global.
    """
    start = file.tell()
    try:
        _check_opcodes(file)
        file.seek(start)
        return safe_pickle.load(file, allowed, persistent_load=persistent_load)
    except safe_pickle.UnsafePickleError as error:
        cause = error.__cause__  # an error of the functions above, raised while the pickle was read
        raise cause if isinstance(cause, CheckpointFileError) else CheckpointFileError(str(error)) from error


def _check_opcodes(file: BinaryIO) -> None:
    """Refuses what makes the C unpickler allocate beyond the file's size or overflow its stack."""
    tuples = 0
    try:
        for index, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            # The memo is an array: a huge index allocates and clears that many entries.
            if opcode.name in ("PUT", "LONG_BINPUT") and argument > index:
                raise CheckpointFileError(f"the pickle has memo index {argument} after {index} steps; damaged.")
            tuples += opcode.name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
    except CheckpointFileError:
        raise
    except (ValueError, OverflowError, MemoryError) as error:
        raise CheckpointFileError(f"truncated or damaged pickle ({error}).") from None
    if tuples > MAX_TUPLES:
        raise CheckpointFileError(
            f"the pickle has {tuples} tuples, more than {MAX_TUPLES}; it may be nested too deeply."
        )


def read_legacy(file: BinaryIO, allowed: Globals) -> Any:
    """Reads what `torch.save` wrote before version 1.6: five pickles, then per storage an int64 count and raw numbers.

    Args:
      file: at the start of the stream; see `load_pickle`.
      allowed: the globals the object may name.
    Returns:
      The object, with arrays for tensors and 1-D arrays for bare storages.
    Raises:
      CheckpointFileError: not such a stream, truncated, or a refused global.
    """
    if load_pickle(file, {}) != LEGACY_MAGIC or load_pickle(file, {}) != LEGACY_PROTOCOL:
        raise CheckpointFileError("not a stream of torch.save: magic number or protocol version differ.")
    system = load_pickle(file, {})
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointFileError("the file was written by a big-endian machine, which is not supported.")
    start = file.tell()
    total = file.seek(0, io.SEEK_END) or file.tell()
    file.seek(start)
    storages: dict[str, np.ndarray] = {}

    def persistent_load(pid: Any) -> np.ndarray:
        key, dtype, count = _parse_storage_id(pid)
        if key not in storages:
            _check_budget(storages, count * np.dtype(dtype).itemsize, total)
            storages[key] = np.zeros(count, dtype)  # filled below: its numbers follow the pickles
        if storages[key].shape != (count,) or storages[key].dtype != dtype:
            raise CheckpointFileError(f"storage {key} is described in two ways.")
        return storages[key]

    value = load_pickle(file, allowed, persistent_load=persistent_load)
    keys = load_pickle(file, {})
    if not isinstance(keys, list) or len(keys) != len(storages) or any(key not in keys for key in storages):
        raise CheckpointFileError("the list of storages does not match those in use.")
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(file.read(8), "little")
        data = file.read(storage.nbytes) if count == storage.size else b""
        if len(data) != storage.nbytes or count != storage.size:
            raise CheckpointFileError(f"truncated: storage {key} should have {storage.size} numbers.")
        storage[:] = np.frombuffer(data, storage.dtype)
    return value


def read_zip(archive: zipfile.ZipFile, entry: str, folder: str, allowed: Globals) -> Any:
    """Reads one pickle of a zip container, e.g. `ROOT/data.pkl` with its storages in `ROOT/data/`.

    Raises:
      CheckpointFileError: an entry is missing, compressed or damaged, or a global is refused.
    """
    total = sum(info.compress_size for info in archive.infolist())
    storages: dict[str, np.ndarray] = {}

    def persistent_load(pid: Any) -> np.ndarray:
        key, dtype, count = _parse_storage_id(pid)
        if key not in storages:
            _check_budget(storages, count * np.dtype(dtype).itemsize, total)
            data = read_entry(archive, f"{folder}/{key}")
            if len(data) != count * np.dtype(dtype).itemsize:
                raise CheckpointFileError(f"storage {key} has {len(data)} bytes, expected {count} numbers of {dtype}.")
            storages[key] = np.frombuffer(data, dtype)
        return storages[key]

    return load_pickle(io.BytesIO(read_entry(archive, entry)), allowed, persistent_load=persistent_load)


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """The bytes of a zip entry. PyTorch never compresses: refusing that keeps sizes within the file's."""
    try:
        info = archive.getinfo(name)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise CheckpointFileError(f"entry {name} is compressed; files of torch.save never are.")
        return archive.read(info)
    except KeyError:
        raise CheckpointFileError(f"entry {name} is missing in the zip.") from None
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise CheckpointFileError(f"entry {name} is damaged: {error}.") from None


def _parse_storage_id(pid: Any) -> tuple[str, type, int]:
    """("storage", type, key, location, count, None): a view of another storage (before PyTorch 0.4) has no None."""
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage" or (len(pid) == 6 and pid[5]):
        raise CheckpointFileError(f"unknown reference {str(pid)[:80]!r}; expected a storage.")
    _, dtype, key, _, count = pid[:5]
    if dtype not in STORAGE_TYPES.values() or not isinstance(key, str) or type(count) is not int or count < 0:
        raise CheckpointFileError(f"storage {str(key)[:80]!r} has type {dtype!r} and {str(count)[:80]} numbers.")
    return key, dtype, count


def _check_budget(storages: dict[str, np.ndarray], size: int, total: int) -> None:
    if sum(storage.nbytes for storage in storages.values()) + size > total:
        raise CheckpointFileError(f"truncated: the storages take more than the {total} bytes there are.")
