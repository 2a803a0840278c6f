"""Reads .pkl, .pt and .pth files into plain data, running nothing that a file contains.

Three kinds are read: pickles of networks (`torch_utils.persistence` objects of the StyleGAN2-ADA and StyleGAN3
projects, `dnnlib.tflib` ones of the TensorFlow era; the source text in them is ignored), files of `torch.save` (zip,
and the legacy stream), and TorchScript archives, of which only the attributes are read. Globals that are not on a
list are refused by name, and no size is believed unchecked.
"""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from convert.torch_tensors import (
    LEGACY_MAGIC,
    STORAGE_TYPES,
    TENSOR_GLOBALS,
    CheckpointFileError,
    load_pickle,
    read_entry,
    read_legacy,
    read_storage,
    read_zip,
)
from jaxgan.errors import UserError
from jaxgan.safe_pickle import NUMPY_GLOBALS, brief

Kind = Literal["pickle", "legacy", "zip", "torchscript", "npz", "safetensors"]
MAX_MODULES = 5_000
"""A module may be shared, so that a small file could describe an exponential tree; a 1024x1024 generator has 80."""


@dataclasses.dataclass(frozen=True, eq=False)
class Module:
    """A `torch_utils.persistence` object: the name of its class and its `__dict__`."""

    class_name: str
    state: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        raise CheckpointFileError(f"a {brief(self.class_name)} is given a state twice.")

    @property
    def modules(self) -> dict[str, Module]:
        """The direct submodules."""
        return self._entries("_modules", Module)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The module's own parameters and buffers; those that are None left out."""
        return {**self._entries("_parameters", np.ndarray), **self._entries("_buffers", np.ndarray)}

    def _entries(self, name: str, kind: type) -> dict[str, Any]:
        entries = self.state.get(name, {})
        if not isinstance(entries, dict) or not all(
            isinstance(key, str) and (value is None or isinstance(value, kind)) for key, value in entries.items()
        ):
            raise CheckpointFileError(f"{name} of a {brief(self.class_name)} is no dict of {kind.__name__}.")
        return {key: value for key, value in entries.items() if value is not None}


class TensorflowNetwork:
    """A `dnnlib.tflib.network.Network`: its pickled state, a dict."""

    state: dict[str, Any]

    def __init__(self) -> None:
        self.state = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise CheckpointFileError("a TensorFlow network has no dict as its state.")
        self.state = state


class EasyDict(dict):
    """`dnnlib.util.EasyDict`, empty as it is pickled."""

    def __new__(cls) -> EasyDict:
        return super().__new__(cls)

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Attributes would hide methods: an EasyDict has none."""
        raise CheckpointFileError("an EasyDict is given attributes; it keeps them as entries.")


class ScriptObject:
    """An instance of a class defined inside a TorchScript archive; the attributes lie in `vars()`."""


class _ScriptGlobals(dict):
    """Allow-list of a TorchScript archive: every class of its own (`__torch__.*`) becomes an empty `ScriptObject`."""

    def __missing__(self, key: tuple[str, str]) -> type:
        if key[0] != "__torch__" and not key[0].startswith("__torch__."):
            raise KeyError(key)
        return self.setdefault(key, type("ScriptObject", (ScriptObject,), {}))


def recognise(path: str | os.PathLike) -> Kind:
    """Tells by its content what kind of checkpoint a file is.

    Raises:
      CheckpointFileError: missing, a directory, empty, a text or HTML page, a Git LFS pointer, or nothing known.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise CheckpointFileError(f"{path} is a directory; expected a file.")
        if path.exists() and not path.is_file():
            raise CheckpointFileError(f"{path} is no regular file; expected a file.")  # a pipe could wait for ever
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise CheckpointFileError(f"{path} cannot be read: {error.strerror}.") from None
    if not head:
        raise CheckpointFileError(f"{path} is empty; download it again.")
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointFileError(
            f"{path}: this is a Git LFS pointer, not the weights; fetch them with `git lfs pull` in its repository."
        )
    if head.startswith((b"\x1f\x8b", b"7z\xbc\xaf", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd")):
        raise CheckpointFileError(f"{path} is a compressed file; unpack it first.")
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "legacy" if LEGACY_MAGIC.to_bytes(10, "little") in head[:20] else "pickle"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors"
    if head.lstrip()[:1] == b"<":
        raise CheckpointFileError(f"{path} is an HTML or XML page, probably of a failed download; download it again.")
    if all(byte in b"\t\n\r" or byte >= 32 for byte in head):
        raise CheckpointFileError(f"{path} is a text file; expected a checkpoint (.pkl, .pt, .safetensors or .npz).")
    raise CheckpointFileError(f"{path} is no checkpoint of a known kind (pickle, torch.save, safetensors, npz).")


def read_snapshot(path: str | os.PathLike) -> Any:
    """Reads a snapshot of the StyleGAN2-ADA or StyleGAN3 project, or a pickle of the TensorFlow era.

    Returns:
      Usually {"G_ema": Module, "G": Module, "D": Module, ...}, or (G, D, Gs), each a TensorflowNetwork; tensors are
      NumPy arrays.
    Raises:
      CheckpointFileError: truncated, damaged, or the file names a global that such snapshots do not need.
    """
    with _opened(path) as file:
        return load_pickle(file, SNAPSHOT_GLOBALS)


def read_tensors(path: str | os.PathLike) -> Any:
    """Reads a file of `torch.save`: plain containers (a state dict, say) of NumPy arrays.

    Raises:
      CheckpointFileError: another kind of file, truncated, damaged, or a refused global.
    """
    kind = recognise(path)
    if kind == "legacy":
        with _opened(path) as file:
            return read_legacy(file, TENSOR_GLOBALS)
    if kind != "zip":
        raise CheckpointFileError(f"{path} is of kind {kind!r}; expected a file written by torch.save.")
    with _opened_zip(path) as archive:
        root = _zip_root(archive)
        return read_zip(archive, f"{root}/data.pkl", f"{root}/data", TENSOR_GLOBALS)


def read_torchscript(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the arrays of a TorchScript archive: those of its modules, in order, then its constants.

    Returns:
      {"features.conv1.weight": array, ..., "constants.0": array}
    Raises:
      CheckpointFileError: another kind of file, truncated, damaged, or a refused global.
    """
    if (kind := recognise(path)) != "torchscript":
        raise CheckpointFileError(f"{path} is of kind {kind!r}; expected a TorchScript archive.")
    with _opened_zip(path) as archive:
        root = _zip_root(archive)
        lists = ("build_intlist", "build_tensorlist", "build_doublelist", "build_boollist")
        own = {("torch.jit._pickle", name): lambda items: items for name in lists}
        own["torch.jit._pickle", "restore_type_tag"] = lambda value, type_name: value
        allowed = _ScriptGlobals({**TENSOR_GLOBALS, **own})
        attributes = read_zip(archive, f"{root}/data.pkl", f"{root}/data", allowed)
        constants = read_zip(archive, f"{root}/constants.pkl", f"{root}/constants", allowed)
    return flat_arrays(attributes) | {f"constants.{name}": array for name, array in flat_arrays(constants).items()}


def flat_arrays(value: Any) -> dict[str, np.ndarray]:
    """The arrays inside modules, script objects, dicts and lists, under dotted names, as a state dict has them."""
    return {name: leaf for name, leaf in _walk(value) if isinstance(leaf, np.ndarray)}


def named_modules(module: Module) -> dict[str, Module]:
    """{"": module, "mapping": ..., "synthesis.b4": ...}"""
    return {name: leaf for name, leaf in _walk(module) if isinstance(leaf, Module)}


def _walk(root: Any) -> Iterator[tuple[str, Any]]:
    """Every node with its dotted name, depth first; iterative, since a file may nest as deeply as it likes."""
    stack, visited = [("", root)], 0
    while stack:
        name, node = stack.pop()
        yield name, node
        children: dict[Any, Any] = {}
        if isinstance(node, Module):
            children = node.arrays | node.modules
        elif isinstance(node, (dict, ScriptObject)):
            children = node if isinstance(node, dict) else vars(node)
        elif isinstance(node, (list, tuple)):
            children = dict(enumerate(node))
        visited += sum(isinstance(c, (Module, ScriptObject, dict, list, tuple)) for c in children.values())
        if visited > MAX_MODULES or len(name) > 1_000:
            raise CheckpointFileError(f"the file nests more than {MAX_MODULES} modules, or too deeply; refused.")
        prefix = f"{name}." if name else ""
        stack += [(prefix + brief(key, 200), child) for key, child in reversed(children.items())]


def _reconstruct_module(meta: Any) -> Module:
    """`torch_utils.persistence._reconstruct_persistent_obj` without the source text in `meta["module_src"]`."""
    if not isinstance(meta, dict) or meta.get("type") != "class":
        raise CheckpointFileError("a persistent object is not described by a dict of type 'class'.")
    class_name, state = meta.get("class_name"), meta.get("state")
    if not isinstance(class_name, str) or not isinstance(state, dict):
        raise CheckpointFileError(f"a persistent object has class {brief(class_name)!r} and no dict of attributes.")
    return Module(class_name, state)


def _load_storage(data: bytes) -> np.ndarray:
    """`torch.storage._load_from_bytes`: a legacy stream of one storage."""
    if not isinstance(data, bytes):
        raise CheckpointFileError("a storage is not given as bytes.")
    return read_storage(data)


def _set(items: Any = ()) -> set:
    """`builtins.set`, which protocol 3 names; those of modules are empty or hold a few names."""
    if not isinstance(items, (list, tuple)) or len(items) > 64 or not all(isinstance(item, str) for item in items):
        raise CheckpointFileError("a set is made of something else than a few words.")
    return set(items)


SNAPSHOT_GLOBALS = {
    **NUMPY_GLOBALS,
    **{key: value for key, value in TENSOR_GLOBALS.items() if key not in STORAGE_TYPES},
    ("torch.storage", "_load_from_bytes"): _load_storage,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _reconstruct_module,
    ("dnnlib.util", "EasyDict"): EasyDict,
    ("dnnlib.tflib.network", "Network"): TensorflowNetwork,
    ("builtins", "set"): _set,
}


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """The file, with errors under its name."""
    recognise(path)
    with open(path, "rb") as file, named(path):
        yield file


@contextmanager
def _opened_zip(path: str | os.PathLike) -> Iterator[zipfile.ZipFile]:
    with named(path):
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, RecursionError, MemoryError) as error:
            raise CheckpointFileError(f"truncated or damaged zip ({error}).") from None
        with archive:
            yield archive


@contextmanager
def named(path: str | os.PathLike) -> Iterator[None]:
    """Puts the file's name before the errors that lack it."""
    try:
        yield
    except UserError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def _zip_kind(path: Path) -> Kind:
    with _opened_zip(path) as archive:
        names = archive.namelist()
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    return "torchscript" if any(name.endswith("/constants.pkl") for name in names) else "zip"


def _zip_root(archive: zipfile.ZipFile) -> str:
    """The single folder all entries lie in, which is named after the file as it was saved."""
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise CheckpointFileError(
            f"a zip with {len(pickles)} entries ROOT/data.pkl; expected one, as torch.save writes it."
        )
    root = pickles[0].removesuffix("/data.pkl")
    if f"{root}/byteorder" in archive.namelist() and read_entry(archive, f"{root}/byteorder").strip() != b"little":
        raise CheckpointFileError("the file was written by a big-endian machine, which is not supported.")
    return root
