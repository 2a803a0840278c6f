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
from typing import Any, BinaryIO

import numpy as np

from convert.files.file_kinds import named, opened_zip, recognise
from convert.files.torch_tensors import (
    STORAGE_TYPES,
    TENSOR_GLOBALS,
    CheckpointFileError,
    load_pickle,
    read_entry,
    read_legacy,
    read_storage,
    read_zip,
)
from jaxgan.pickles import NUMPY_GLOBALS, brief

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
    with opened_zip(path) as archive:
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
    with opened_zip(path) as archive:
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
