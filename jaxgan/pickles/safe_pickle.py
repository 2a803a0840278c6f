"""Unpickles with an explicit list of what a file may name: nothing else is imported, and nothing in the file is run.

Memory stays in proportion to the file. A check of the opcodes refuses pickles that allocate or recurse without bound,
no function on the list allocates by a number that the file claims, and copies are counted.
"""

from __future__ import annotations

import contextvars
import io
import math
import pickle
import pickletools
import types
from collections.abc import Callable, Mapping
from typing import IO, Any, Protocol, cast, runtime_checkable

import numpy as np

from jaxgan.pickles import opcode_checks
from jaxgan.pickles.opcode_checks import UnsafePickleError

Globals = Mapping[tuple[str, str], Any]

MAX_RANK = 32
"""The most dimensions of an array; NumPy's own limit was 32 when these files were written."""


@runtime_checkable
class Readable(Protocol):
    """The part of a file that an unpickler needs; open files, BytesIO and mmap have it."""

    def read(self, size: int, /) -> bytes:
        """Reads up to `size` bytes."""

    def readline(self) -> bytes:
        """Reads the rest of the line."""

    def seek(self, position: int, whence: int = 0, /) -> Any:
        """Moves to a position, for a second pass."""

    def tell(self) -> int:
        """Returns the present position."""


class _Bounded:
    """Wraps a file so that `read` never asks for more than there is: a size that is only claimed allocates nothing."""

    def __init__(self, file: Readable):
        self._file = file
        start = file.tell()
        file.seek(0, io.SEEK_END)
        self.size = file.tell()
        file.seek(start)
        self.readline, self.tell = file.readline, file.tell
        # This is no method because it is called for every opcode, and the tests' shape checks slow methods down.
        self.read = lambda size: file.read(min(size, self.size) if size >= 0 else self.size)


_copies_left: contextvars.ContextVar[list[int]] = contextvars.ContextVar("bytes that a pickle may still copy")


def brief(value: Any, limit: int = 80) -> str:
    """Describes a value of a file for a message; `str` might never end on containers that hold themselves."""
    if isinstance(value, (tuple, list)) and len(value) <= MAX_RANK and all(type(n) is int for n in value):
        inner = ", ".join(brief(n) for n in value)
        return f"({inner}{',' * (len(value) == 1)})"[: 2 * limit]
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"a number of {value.bit_length()} bits"
    if value is None or isinstance(value, (str, int, float, np.generic)):
        return str(value)[:limit]
    if isinstance(value, np.ndarray):
        return f"an array {brief(value.shape)}"
    if isinstance(value, type):
        return value.__name__[:limit]
    return f"{type(value).__name__} of {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def _charge(size: int) -> None:
    """Counts a copy of the file's data, because repeated references to one string could fill any memory."""
    left = _copies_left.get()
    left[0] -= size
    if left[0] < 0:
        raise UnsafePickleError("the pickle unpacks to much more than its size; refused.")


class _Function:
    """Wraps a function of the list: a file may call it, but cannot give it attributes, which may be other defaults."""

    __slots__ = ("_call",)

    def __init__(self, function: Callable[..., Any]):
        self._call = function

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("the pickle gives a state to a function; refused.")


class _NdarrayName:
    """Stands for `numpy.ndarray`, which a pickle only names; a call of the class itself could allocate any size."""

    def __setstate__(self, state: Any) -> None:
        raise UnsafePickleError("the pickle gives a state to the name of a class; refused.")


class _Dtype:
    """Stands for a `numpy.dtype` of plain numbers; one of objects would let the file put anything into an array."""

    def __init__(self, name: Any, align: Any = False, copy: Any = False):
        if not isinstance(name, str) or len(name) > 8:  # "float128" is the longest name; lists would describe records
            raise UnsafePickleError(f"an array has dtype {brief(name)}; expected plain numbers.")
        self.dtype = np.dtype(name)
        if self.dtype.kind not in "biuf":
            raise UnsafePickleError(f"an array has dtype {name!r}; expected plain numbers.")

    def __setstate__(self, state: Any) -> None:
        """Takes the byte order, which is all that NumPy's state adds for plain numbers."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "=") or any(state[2:5]):
            raise UnsafePickleError(f"a dtype has state {brief(state)}; expected plain numbers.")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array whose content is checked when it arrives, since NumPy pickles an empty array and fills it afterwards."""

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise UnsafePickleError("an array has another state than (version, shape, dtype, order, data).")
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype):
            raise UnsafePickleError(f"an array of shape {brief(shape)} has a dtype that is none.")
        if isinstance(data, str):  # Python 2 wrote bytes as text
            _charge(len(data))
            data = data.encode("latin1")
        _check_data(shape, dtype.dtype, data)
        if not dtype.dtype.isnative:
            _charge(len(data))
        state = (1, shape, dtype.dtype, bool(fortran), data)
        super().__setstate__(state)  # type: ignore[arg-type]  # the stub asks for numpy.bool, which is refused


def _check_data(shape: Any, dtype: np.dtype, data: Any) -> None:
    """Refuses a shape that is not made of sizes, and data whose length does not fit the shape."""
    ranked = isinstance(shape, tuple) and len(shape) <= MAX_RANK
    if not ranked or any(type(n) is not int or not 0 <= n < 2**48 for n in shape):
        raise UnsafePickleError(f"an array has shape {brief(shape)}; expected sizes.")
    if not isinstance(data, (bytes, bytearray)) or len(data) != math.prod(shape) * dtype.itemsize:
        raise UnsafePickleError(f"an array of shape {shape} and dtype {dtype} lacks data of that size.")


def _reconstruct(subtype: type, shape: tuple[int, ...], dtype: bytes | str) -> np.ndarray:
    """Makes the empty array that NumPy fills afterwards, and refuses any other request, which cannot be NumPy's."""
    if subtype is not _NdarrayName or tuple(shape) != (0,):
        raise UnsafePickleError(
            f"an array starts as {brief(subtype)} of shape {brief(shape)}; expected an empty numpy.ndarray."
        )
    return np.ndarray.__new__(_Array, (0,), np.int8)


def _frombuffer(buffer: bytes | bytearray, dtype: _Dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    """Stands for `numpy._core.numeric._frombuffer`, by which protocol 5 writes contiguous arrays."""
    if not isinstance(buffer, (bytes, bytearray)) or not isinstance(dtype, _Dtype) or order not in ("C", "F"):
        raise UnsafePickleError("an array is made of something else than bytes, a dtype, a shape and an order.")
    _check_data(shape, dtype.dtype, buffer)
    return np.frombuffer(buffer, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: _Dtype, data: bytes | str) -> np.generic:
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype.dtype, count=1)[0]


def _encode(text: str, encoding: str) -> bytes:
    """Stands for `_codecs.encode`, by which protocol 2 writes bytes."""
    if encoding != "latin1":
        raise UnsafePickleError(f"bytes are encoded as {brief(encoding)!r}; expected 'latin1'.")
    _charge(len(text))
    return text.encode("latin1")


NUMPY_GLOBALS: Globals = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
    ("numpy", "ndarray"): _NdarrayName,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class AllowListUnpickler(pickle.Unpickler):
    """An unpickler that knows only the globals of `allowed`, and puts the objects given there in their place."""

    def __init__(self, file: Any, allowed: Globals, *, persistent_load: Callable[[Any], Any] | None = None):
        super().__init__(file, encoding="latin1")
        self._allowed = allowed
        self._persistent_load = persistent_load

    def find_class(self, module: str, name: str) -> Any:
        """Looks a global up in the allow-list, and never imports it."""
        try:
            found = self._allowed[module, name]
            return _Function(found) if isinstance(found, types.FunctionType) else found
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
    """Reads one pickle after a check of its opcodes, and leaves `file` at the end of the pickle.

    Args:
      file: an open, seekable binary file, or the pickle's bytes.
      allowed: {(module, name): object that stands for it}; `NUMPY_GLOBALS` serves for arrays of numbers.
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
        opcode_checks.check(pickletools.genops(cast(IO[bytes], bounded)))
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
