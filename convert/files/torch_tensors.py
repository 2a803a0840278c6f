"""Reads tensors and storages of PyTorch's two containers as NumPy arrays, by an allow-list unpickler.

A storage is a flat run of numbers, a tensor a strided window on one. Both containers pickle the tensors and refer to
the storages by persistent id; the legacy stream appends the numbers, the zip keeps them in `data/KEY`.
"""

from __future__ import annotations

import dataclasses
import io
import math
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from jaxgan import pickles
from jaxgan.errors import UserError
from jaxgan.pickles import MAX_RANK, NUMPY_GLOBALS, Globals, brief


class CheckpointFileError(UserError):
    """A file is no checkpoint that can be read, or one that must not be."""


LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


@dataclasses.dataclass(frozen=True)
class StorageType:
    """Stands for `torch.FloatStorage` and the like, which files only name."""

    dtype: np.dtype

    def __setstate__(self, state: Any) -> None:
        raise CheckpointFileError("a storage type is given a state, which PyTorch never does.")


_DTYPES = {"Half": "f2", "Float": "f4", "Double": "f8", "Byte": "u1", "Char": "i1", "Short": "i2", "Int": "i4"}
_DTYPES |= {"Long": "i8", "Bool": "?", "BFloat16": ml_dtypes.bfloat16}
STORAGE_TYPES: Globals = {("torch", f"{name}Storage"): StorageType(np.dtype(code)) for name, code in _DTYPES.items()}


class Inert:
    """Stands for an object that holds no weights, such as the `argparse.Namespace` of a training; it keeps nothing."""

    def __init__(self, *arguments: Any, **options: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Drops an item of what was a list."""

    def add(self, item: Any) -> None:
        """Drops an item of what was a set."""


class StateDict(OrderedDict):
    """Stands for an empty `collections.OrderedDict`; its attributes are dropped, as they would hide methods."""

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass


def _size(dimensions: Any = ()) -> tuple[int, ...]:
    """`torch.Size`."""
    if not isinstance(dimensions, (tuple, list)) or len(dimensions) > MAX_RANK or {type(n) for n in dimensions} - {int}:
        raise CheckpointFileError("a torch.Size is no tuple of a few numbers.")
    return tuple(dimensions)


def rebuild_tensor(
    storage: np.ndarray,
    offset: int,
    size: tuple[int, ...],
    stride: tuple[int, ...],
    requires_grad: bool = False,
    hooks: Any = None,
    metadata: Any = None,
) -> np.ndarray:
    """Stands for `torch._utils._rebuild_tensor_v2`; a read-only view lets sharing and late filling both work."""
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or not len(size) == len(stride) <= MAX_RANK:
        raise CheckpointFileError("a tensor has another number of strides than of dimensions, or too many.")
    numbers = (offset, *size, *stride)
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise CheckpointFileError("a tensor has no storage.")
    if any(type(n) is not int or not 0 <= n < 2**48 for n in numbers):
        raise CheckpointFileError(f"a tensor has offset, shape and strides {brief(numbers, 100)}; expected sizes.")
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
    """Stands for `torch._utils._rebuild_parameter`; a parameter is its tensor."""
    return data


def rebuild_old_tensor(storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """Stands for `torch._utils._rebuild_tensor`, which PyTorch wrote before version 0.4."""
    return rebuild_tensor(storage, offset, size, stride)


def rebuild_parameter_with_state(data: np.ndarray, requires_grad: bool, hooks: Any, state: Any) -> np.ndarray:
    """Stands for `torch._utils._rebuild_parameter_with_state`; the attributes of the parameter are dropped."""
    return data


TENSOR_GLOBALS: Globals = {
    **STORAGE_TYPES,
    **NUMPY_GLOBALS,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor"): rebuild_old_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): rebuild_parameter_with_state,
    ("torch", "Size"): _size,
    ("torch", "device"): Inert,
    ("argparse", "Namespace"): Inert,
    ("pathlib", "PosixPath"): Inert,
    ("collections", "OrderedDict"): StateDict,
}


def load_pickle(
    file: io.BufferedIOBase, allowed: Globals, *, persistent_load: Callable[[Any], Any] | None = None
) -> Any:
    """Loads a pickle with the errors of this package.

    Raises:
      CheckpointFileError: the pickle is truncated, damaged, claims more than it has, or names a refused global.
    """
    try:
        return pickles.load(file, allowed, persistent_load=persistent_load)
    except pickles.UnsafePickleError as error:
        cause = error.__cause__  # an error of the functions above, raised while the pickle was read
        raise cause if isinstance(cause, CheckpointFileError) else CheckpointFileError(str(error)) from error


def read_legacy(file: io.BufferedIOBase, allowed: Globals) -> Any:
    """Reads a stream that `torch.save` wrote before version 1.6: five pickles, then a count and numbers per storage.

    Args:
      file: a seekable file at the start of the stream.
      allowed: the globals that the object may name.
    Returns:
      The object, with arrays for tensors and 1-D arrays for bare storages.
    Raises:
      CheckpointFileError: the file is no such stream, is truncated, or names a refused global.
    """
    _read_header(file)
    start = file.tell()
    total = file.seek(0, io.SEEK_END)
    file.seek(start)
    storages: dict[str, np.ndarray] = {}

    def persistent_load(pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module" and isinstance(pid[1], type):
            return pid[1]  # the class of a network that was saved whole; its source text comes with it
        key, dtype, count = _parse_storage_id(pid)
        if key not in storages:
            _check_budget(storages, count * dtype.itemsize, total)
            storages[key] = np.zeros(count, dtype)  # it is filled below, as its numbers follow the pickles
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
        if count != storage.size or file.readinto(storage.view(np.uint8).data) != storage.nbytes:
            raise CheckpointFileError(f"truncated: storage {key} should have {storage.size} numbers.")
    return value


def read_storage(data: bytes) -> np.ndarray:
    """Reads a legacy stream of one bare storage, as snapshots nest them, as a view on its bytes.

    Raises:
      CheckpointFileError: the data are no such stream, are truncated, or name a refused global.
    """
    file = io.BytesIO(data)
    _read_header(file)
    reference = load_pickle(file, STORAGE_TYPES, persistent_load=_parse_storage_id)
    keys = load_pickle(file, {})
    if not isinstance(reference, tuple) or len(reference) != 3 or keys != [reference[0]]:
        raise CheckpointFileError("a nested stream holds something else than one storage.")
    key, dtype, count = reference
    stored = int.from_bytes(file.read(8), "little")
    if not isinstance(dtype, np.dtype) or stored != count or len(data) - file.tell() < count * dtype.itemsize:
        raise CheckpointFileError(f"truncated: storage {brief(key)} should have {brief(count)} numbers.")
    return np.frombuffer(data, dtype, count, file.tell())


def _read_header(file: io.BufferedIOBase) -> None:
    if load_pickle(file, {}) != LEGACY_MAGIC or load_pickle(file, {}) != LEGACY_PROTOCOL:
        raise CheckpointFileError("not a stream of torch.save: magic number or protocol version differ.")
    system = load_pickle(file, {})
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointFileError("the file was written by a big-endian machine, which is not supported.")


def read_zip(archive: zipfile.ZipFile, entry: str, folder: str, allowed: Globals) -> Any:
    """Reads one pickle of a zip container, e.g. `ROOT/data.pkl` with its storages in `ROOT/data/`.

    Raises:
      CheckpointFileError: an entry is missing, compressed or damaged, or a global is refused.
    """
    total = _bytes_of(archive)  # entries may overlap, so the sum of their sizes may be any number
    storages: dict[str, np.ndarray] = {}

    def persistent_load(pid: Any) -> np.ndarray:
        key, dtype, count = _parse_storage_id(pid)
        if key not in storages:
            _check_budget(storages, count * dtype.itemsize, total)
            data = read_entry(archive, f"{folder}/{key}")
            if len(data) != count * dtype.itemsize:
                raise CheckpointFileError(f"storage {key} has {len(data)} bytes, expected {count} numbers of {dtype}.")
            storages[key] = np.frombuffer(data, dtype)
        if storages[key].size != count or storages[key].dtype != dtype:
            raise CheckpointFileError(f"storage {key} is described in two ways.")
        return storages[key]

    return load_pickle(io.BytesIO(read_entry(archive, entry)), allowed, persistent_load=persistent_load)


def _bytes_of(archive: zipfile.ZipFile) -> int:
    assert archive.fp is not None  # it is open
    return archive.fp.seek(0, io.SEEK_END)


def read_entry(archive: zipfile.ZipFile, name: str) -> bytes:
    """Reads the bytes of a zip entry; compressed ones, which PyTorch never writes, are refused to limit sizes."""
    try:
        info = archive.getinfo(name)
        if info.file_size > _bytes_of(archive):
            raise CheckpointFileError(f"entry {name} claims {info.file_size} bytes, more than the file has.")
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise CheckpointFileError(f"entry {name} is compressed; files of torch.save never are.")
        return archive.read(info)
    except KeyError:
        raise CheckpointFileError(f"entry {name} is missing in the zip.") from None
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError) as error:
        raise CheckpointFileError(f"entry {name} is damaged: {error}.") from None


def _parse_storage_id(pid: Any) -> tuple[str, np.dtype, int]:
    """Parses ("storage", type, key, location, count, None); a view of a storage (before PyTorch 0.4) has no None."""
    if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage" or (len(pid) == 6 and pid[5]):
        raise CheckpointFileError(f"unknown reference {brief(pid)!r}; expected a storage.")
    _, kind, key, _, count = pid[:5]
    if not isinstance(kind, StorageType) or not isinstance(key, str) or type(count) is not int or count < 0:
        raise CheckpointFileError(f"storage {brief(key)!r} has type {brief(kind)} and {brief(count)} numbers.")
    return key[:200], kind.dtype, count


def _check_budget(storages: dict[str, np.ndarray], size: int, total: int) -> None:
    if sum(storage.nbytes for storage in storages.values()) + size > total:
        raise CheckpointFileError(f"truncated: the storages take more than the {total} bytes there are.")
