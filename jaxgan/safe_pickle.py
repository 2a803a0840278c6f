"""Unpickling with an explicit list of what a file may name: nothing else is imported, nothing in the file is run.

Memory stays in proportion to the file: a look at the opcodes refuses what makes Python's unpickler allocate or recurse
without bound, nothing on the list allocates by a number that the file claims, and copies are counted.
"""

from __future__ import annotations

import contextvars
import io
import math
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxgan.errors import UserError

Globals = Mapping[tuple[str, str], Any]

MAX_OPCODES = 2_000_000
"""Each step may allocate some hundred bytes, whatever the file's size; a 1024x1024 snapshot takes 40,000."""
MAX_TUPLES = 20_000
"""Nested tuples as a dict key overflow Python's C stack: seen from 300,000 on; the largest reference file has 1,000."""
MAX_RANK = 32
"""Dimensions of an array; NumPy's own limit was 32 when these files were written."""


@runtime_checkable
class Readable(Protocol):
    """What an unpickler needs of a file: an open file, a BytesIO or an mmap."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""

    def readline(self) -> bytes:
        """The rest of the line."""

    def seek(self, position: int, whence: int = 0, /) -> Any:
        """Moves to a place, for a second pass."""

    def tell(self) -> int:
        """The present place."""


class UnsafePickleError(UserError):
    """The pickle names a global that is not on the allow-list, or is no valid pickle."""


class _Bounded:
    """A file whose `read` is never asked for more than there is, so that a claimed size allocates nothing."""

    def __init__(self, file: Readable):
        self._file = file
        start = file.tell()
        file.seek(0, io.SEEK_END)
        self.size = file.tell()
        file.seek(start)
        self.readline, self.tell = file.readline, file.tell

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self.size) if size >= 0 else self.size)


_copies_left: contextvars.ContextVar[list[int]] = contextvars.ContextVar("bytes that a pickle may still copy")


def _charge(size: int) -> None:
    """Counts a copy of data of the file: repeated references to one string could fill any memory."""
    left = _copies_left.get()
    left[0] -= size
    if left[0] < 0:
        raise UnsafePickleError("the pickle unpacks to much more than its size; refused.")


class _NdarrayName:
    """Stands for `numpy.ndarray`, which a pickle only names: calling the class could allocate any size."""


class _Dtype:
    """`numpy.dtype` of plain numbers: one of objects would let the file put anything into an array."""

    def __init__(self, name: str, align: bool = False, copy: bool = False):
        self.dtype = np.dtype(name)
        if self.dtype.kind not in "biuf":
            raise UnsafePickleError(f"an array has dtype {name!r}; expected plain numbers.")

    def __setstate__(self, state: Any) -> None:
        """The byte order is all that NumPy's state adds for plain numbers."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "=") or any(state[2:5]):
            raise UnsafePickleError(f"a dtype has state {str(state)[:80]}; expected plain numbers.")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array whose content is checked when it comes: NumPy pickles an empty array, then fills it."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise UnsafePickleError("an array has another state than (version, shape, dtype, order, data).")
        _, shape, dtype, fortran, data = state
        ranked = isinstance(shape, tuple) and len(shape) <= MAX_RANK
        if not ranked or any(type(n) is not int or n < 0 for n in shape) or not isinstance(dtype, _Dtype):
            raise UnsafePickleError(f"an array has shape {str(shape)[:80]} or a dtype that is none.")
        if isinstance(data, str):  # Python 2 wrote bytes so
            _charge(len(data))
            data = data.encode("latin1")
        if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.dtype.itemsize:
            raise UnsafePickleError(f"an array of shape {shape} and dtype {dtype.dtype} lacks data of that size.")
        if not dtype.dtype.isnative:
            _charge(len(data))
        super().__setstate__((1, shape, dtype.dtype, bool(fortran), data))


def _reconstruct(subtype: type, shape: tuple[int, ...], dtype: bytes | str) -> np.ndarray:
    """NumPy pickles an array as an empty one, filled afterwards; any other request is not NumPy's."""
    if subtype is not _NdarrayName or tuple(shape) != (0,):
        raise UnsafePickleError(
            f"an array starts as {str(subtype)[:80]} of shape {str(shape)[:80]}; expected an empty numpy.ndarray."
        )
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _scalar(dtype: _Dtype, data: bytes | str) -> np.generic:
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype.dtype, count=1)[0]


def _encode(text: str, encoding: str) -> bytes:
    """`_codecs.encode`, by which protocol 2 writes bytes."""
    if encoding != "latin1":
        raise UnsafePickleError(f"bytes are encoded as {str(encoding)[:80]!r}; expected 'latin1'.")
    _charge(len(text))
    return text.encode("latin1")


NUMPY_GLOBALS: Globals = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    ("numpy", "ndarray"): _NdarrayName,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class AllowListUnpickler(pickle.Unpickler):
    """An unpickler whose only globals are those of `allowed`, each replaced by what is given there."""

    def __init__(self, file: Any, allowed: Globals, *, persistent_load: Callable[[Any], Any] | None = None):
        super().__init__(file, encoding="latin1")
        self._allowed = allowed
        self._persistent_load = persistent_load

    def find_class(self, module: str, name: str) -> Any:
        """Looks a global up in the allow-list; never imports."""
        try:
            return self._allowed[module, name]
        except KeyError:
            raise UnsafePickleError(
                f"the file asks for {module}.{name}"[:200]
                + ", which is not on the list of allowed globals; refused, nothing was run."
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        """Resolves a persistent id with the function given at construction."""
        if self._persistent_load is None:
            raise UnsafePickleError("the file refers to data outside the pickle (a persistent id); refused.")
        return self._persistent_load(pid)


def load(file: Readable | bytes, allowed: Globals, *, persistent_load: Callable[[Any], Any] | None = None) -> Any:
    """Reads one pickle and leaves `file` behind it, after a look at its opcodes.

    Args:
      file: an open, seekable binary file, or the pickle's bytes.
      allowed: {(module, name): what stands for it}; `NUMPY_GLOBALS` for arrays of numbers.
      persistent_load: resolves persistent ids; without it they are refused.
    Returns:
      The object.
    Raises:
      UnsafePickleError: a global is not allowed (its name is in the message), or the pickle is broken or claims too
        much. An error of a function in `allowed` is its cause.
    """
    bounded = _Bounded(io.BytesIO(file) if isinstance(file, bytes) else file)
    start = bounded.tell()
    token = _copies_left.set([2 * bounded.size])
    try:
        _check_opcodes(bounded)
        bounded._file.seek(start)
        return AllowListUnpickler(bounded, allowed, persistent_load=persistent_load).load()
    except UnsafePickleError:
        raise
    except MemoryError:
        raise UnsafePickleError("damaged, not a readable pickle: it claims more memory than there is.") from None
    except RecursionError:
        raise UnsafePickleError("the pickle is nested too deeply.") from None
    except Exception as error:  # a broken pickle raises almost any exception type, by design of the format
        reason = " ".join(str(error).split())[:200]
        raise UnsafePickleError(
            f"truncated or damaged, not a readable pickle ({type(error).__name__}: {reason})."
        ) from error
    finally:
        _copies_left.reset(token)


def _check_opcodes(file: _Bounded) -> None:
    """Refuses what makes the C unpickler allocate beyond the file's size or overflow its stack."""
    tuples = 0
    for index, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        # The memo is an array: a huge index allocates and clears that many entries.
        if opcode.name in ("PUT", "LONG_BINPUT") and argument > index:
            raise UnsafePickleError(f"the pickle has memo index {argument} after {index} steps; damaged.")
        tuples += opcode.name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
        if tuples > MAX_TUPLES:
            raise UnsafePickleError(f"the pickle has over {MAX_TUPLES} tuples; it may be nested too deeply. Refused.")
        if index > MAX_OPCODES:
            raise UnsafePickleError(f"the pickle has over {MAX_OPCODES} steps; a network needs few. Refused.")
