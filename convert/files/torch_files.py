"""Reads .pkl, .pt and .pth files into plain data, running nothing that a file contains.

Three kinds are read: pickles of networks (`torch_utils.persistence` objects of the StyleGAN2-ADA and StyleGAN3
projects, `dnnlib.tflib` ones of the TensorFlow era; the source text in them is ignored), files of `torch.save` (zip,
and the legacy stream), and TorchScript archives, of which only the attributes are read. Globals that are not on a
list are refused by name or become opaque (see `stand_ins`), and no size is believed unchecked.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from convert.files.file_kinds import named, opened_zip, recognise
from convert.files.stand_ins import EasyDict, Module, Opaque, ScriptGlobals, ScriptObject, TensorflowNetwork, forgiving
from convert.files.torch_tensors import (
    TENSOR_GLOBALS,
    CheckpointFileError,
    load_pickle,
    read_entry,
    read_legacy,
    read_storage,
    read_zip,
)
from jaxgan.pickles import Globals, brief

MAX_MODULES = 5_000
"""The most modules of a file. A module may be shared, so that a small file could describe an exponential tree."""


def read_snapshot(path: str | os.PathLike) -> Any:
    """Reads a snapshot of the StyleGAN2-ADA or StyleGAN3 project, or a pickle of the TensorFlow era.

    Returns:
      Usually {"G_ema": Module, "G": Module, "D": Module, ...}, or (G, D, Gs), each a TensorflowNetwork; tensors are
      NumPy arrays.
    Raises:
      CheckpointFileError: the file is truncated or damaged, or names a global that such snapshots do not need.
    """
    with _opened(path) as file:
        return load_pickle(file, forgiving(NETWORK_GLOBALS))


def read_tensors(path: str | os.PathLike) -> Any:
    """Reads a file of `torch.save`: plain containers (a state dict, say) of NumPy arrays, or whole networks.

    Raises:
      CheckpointFileError: another kind of file, truncated, damaged, or a refused global.
    """
    kind = recognise(path)
    if kind == "legacy":
        with _opened(path) as file:
            return read_legacy(file, forgiving(NETWORK_GLOBALS))
    if kind != "zip":
        raise CheckpointFileError(f"{path} is of kind {kind!r}; expected a file written by torch.save.")
    with opened_zip(path) as archive:
        root = _zip_root(archive)
        return read_zip(archive, f"{root}/data.pkl", f"{root}/data", forgiving(NETWORK_GLOBALS))


def read_torchscript(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the arrays of a TorchScript archive, first those of its modules in order, then its constants.

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
        own: Globals = {
            **{("torch.jit._pickle", name): lambda items: items for name in lists},
            ("torch.jit._pickle", "restore_type_tag"): lambda value, type_name: value,
        }
        allowed = ScriptGlobals({**TENSOR_GLOBALS, **own})
        attributes = read_zip(archive, f"{root}/data.pkl", f"{root}/data", allowed)
        constants = read_zip(archive, f"{root}/constants.pkl", f"{root}/constants", allowed)
    return flat_arrays(attributes) | {f"constants.{name}": array for name, array in flat_arrays(constants).items()}


def flat_arrays(value: Any) -> dict[str, np.ndarray]:
    """Collects the arrays inside modules, script objects, dicts and lists under dotted names, as in a state dict."""
    return {name: leaf for name, leaf in _walk(value) if isinstance(leaf, np.ndarray)}


def named_modules(module: Module) -> dict[str, Module]:
    """Returns {"": module, "mapping": ..., "synthesis.b4": ...}."""
    return {name: leaf for name, leaf in _walk(module) if isinstance(leaf, Module)}


def networks(value: Any) -> dict[str, Module]:
    """Returns the outermost modules by dotted name: {"G_ema": ..., "D": ...}, or {"": ...} for one alone."""
    modules = {name: node for name, node in _walk(value, whole=False) if isinstance(node, Module)}
    return {name: node for name, node in modules.items() if node.state or not isinstance(node, Opaque)}


def unknown_name(value: Any) -> str | None:
    """Returns the full name of the first unknown class or function inside that is no module with arrays, or None."""
    for _, node in _walk(value):
        if isinstance(node, Opaque) and not node.state:
            return node.class_path
        if isinstance(node, type) and issubclass(node, Opaque):
            return node.class_path
    return None


def _walk(root: Any, *, whole: bool = True) -> Iterator[tuple[str, Any]]:
    """Yields every node with its dotted name, depth first, without recursion, since a file may nest without limit.

    Without `whole`, modules are not entered.
    """
    stack, visited = [("", root)], 0
    while stack:
        name, node = stack.pop()
        yield name, node
        children: dict[Any, Any] = {}
        if isinstance(node, Module):
            children = node.arrays | node.modules if whole else {}
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
    """Does as `torch_utils.persistence._reconstruct_persistent_obj`, but ignores the source text in the file."""
    if not isinstance(meta, dict) or meta.get("type") != "class":
        raise CheckpointFileError("a persistent object is not described by a dict of type 'class'.")
    class_name, state = meta.get("class_name"), meta.get("state")
    if not isinstance(class_name, str) or not isinstance(state, dict):
        raise CheckpointFileError(f"a persistent object has class {brief(class_name)!r} and no dict of attributes.")
    return Module(class_name, state)


def _load_storage(data: bytes) -> np.ndarray:
    """Stands for `torch.storage._load_from_bytes`, which reads a legacy stream of one storage."""
    if not isinstance(data, bytes):
        raise CheckpointFileError("a storage is not given as bytes.")
    return read_storage(data)


def _set(items: Any = ()) -> set:
    """Stands for `builtins.set`, which protocol 3 names; the sets of modules are empty or hold a few names."""
    if not isinstance(items, (list, tuple)) or len(items) > 64 or not all(isinstance(item, str) for item in items):
        raise CheckpointFileError("a set is made of something else than a few words.")
    return set(items)


NETWORK_GLOBALS = {
    **TENSOR_GLOBALS,
    ("torch.storage", "_load_from_bytes"): _load_storage,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _reconstruct_module,
    ("dnnlib.util", "EasyDict"): EasyDict,
    ("dnnlib.tflib.network", "Network"): TensorflowNetwork,
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,
}


@contextmanager
def _opened(path: str | os.PathLike) -> Iterator[io.BufferedIOBase]:
    """Opens a file, and puts its name before errors."""
    recognise(path)
    with open(path, "rb") as file, named(path):
        yield file


def _zip_root(archive: zipfile.ZipFile) -> str:
    """Finds the single folder that all entries lie in; it is named after the file as it was saved."""
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise CheckpointFileError(
            f"a zip with {len(pickles)} entries ROOT/data.pkl; expected one, as torch.save writes it."
        )
    root = pickles[0].removesuffix("/data.pkl")
    if f"{root}/byteorder" in archive.namelist() and read_entry(archive, f"{root}/byteorder").strip() != b"little":
        raise CheckpointFileError("the file was written by a big-endian machine, which is not supported.")
    return root
