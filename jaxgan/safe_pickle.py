"""Unpickling with an explicit list of what a file may name: nothing else is imported, nothing in the file is run."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxgan.errors import UserError

Globals = Mapping[tuple[str, str], Callable[..., Any]]


@runtime_checkable
class Readable(Protocol):
    """What an unpickler needs of a file: an open file, a BytesIO or an mmap."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes."""

    def readline(self) -> bytes:
        """The rest of the line."""


class UnsafePickleError(UserError):
    """The pickle names a global that is not on the allow-list, or is no valid pickle."""


def _reconstruct(subtype: type, shape: tuple[int, ...], dtype: bytes | str) -> np.ndarray:
    """NumPy pickles an array as an empty one, filled afterwards; any other request is not NumPy's."""
    if subtype is not np.ndarray or tuple(shape) != (0,):
        raise UnsafePickleError(f"an array starts as {subtype!r} of shape {shape!r}; expected an empty numpy.ndarray.")
    return np.empty(0, np.int8)


def _dtype(name: str, align: bool = False, copy: bool = False) -> np.dtype:
    """Plain numbers only: a dtype of objects would let the file put anything into an array."""
    dtype = np.dtype(name)
    if dtype.kind not in "biuf":
        raise UnsafePickleError(f"an array has dtype {name!r}; expected plain numbers.")
    return dtype


def _scalar(dtype: np.dtype, data: bytes | str) -> np.generic:
    data = data.encode("latin1") if isinstance(data, str) else data
    return np.frombuffer(data, dtype, count=1)[0]


def _encode(text: str, encoding: str) -> bytes:
    """`_codecs.encode`, by which protocol 2 writes bytes."""
    if encoding != "latin1":
        raise UnsafePickleError(f"bytes are encoded as {encoding!r}; expected 'latin1'.")
    return text.encode("latin1")


NUMPY_GLOBALS: Globals = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}


class AllowListUnpickler(pickle.Unpickler):
    """An unpickler whose only globals are those of `allowed`, each replaced by the callable given there."""

    def __init__(self, file: Readable, allowed: Globals, *, persistent_load: Callable[[Any], Any] | None = None):
        super().__init__(file, encoding="latin1")
        self._allowed = allowed
        self._persistent_load = persistent_load

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Looks a global up in the allow-list; never imports."""
        try:
            return self._allowed[module, name]
        except KeyError:
            raise UnsafePickleError(
                f"the file asks for {module}.{name}, which is not on the list of allowed globals; "
                "refused, nothing was run."
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        """Resolves a persistent id with the function given at construction."""
        if self._persistent_load is None:
            raise UnsafePickleError("the file refers to data outside the pickle (a persistent id); refused.")
        return self._persistent_load(pid)


def load(file: Readable | bytes, allowed: Globals, *, persistent_load: Callable[[Any], Any] | None = None) -> Any:
    """Reads one pickle.

    Args:
      file: an open binary file, or the pickle's bytes.
      allowed: {(module, name): what stands for it}; `NUMPY_GLOBALS` for arrays of numbers.
      persistent_load: resolves persistent ids; without it they are refused.
    Returns:
      The object.
    Raises:
      UnsafePickleError: a global is not allowed (its name is in the message), or the pickle is broken.
    """
    file = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        return AllowListUnpickler(file, allowed, persistent_load=persistent_load).load()
    except UnsafePickleError:
        raise
    except MemoryError:
        raise UnsafePickleError("the pickle claims more memory than there is.") from None
    except RecursionError:
        raise UnsafePickleError("the pickle is nested too deeply.") from None
    except Exception as error:  # a broken pickle raises almost any exception type, by design of the format
        raise UnsafePickleError(f"not a readable pickle ({type(error).__name__}: {error}).") from error
