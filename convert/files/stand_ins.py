"""Defines stand-ins for the classes that a checkpoint names; they keep the data of a file and run nothing of it.

A class that this project does not know becomes an `Opaque`: its arguments and contents are dropped, so that a
discriminator of foreign parts does not hide the generator beside it. If it is a module of PyTorch, its arrays are kept.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np

from convert.files.torch_tensors import CheckpointFileError, Inert
from jaxgan.pickles import Globals, brief


@dataclasses.dataclass(frozen=True, eq=False)
class Module:
    """A module of PyTorch, with the name of its class and its `__dict__`."""

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
        """The module's own parameters and buffers, without those that are None."""
        return {**self._entries("_parameters", np.ndarray), **self._entries("_buffers", np.ndarray)}

    def _entries(self, name: str, kind: type) -> dict[str, Any]:
        entries = self.state.get(name, {})
        if not isinstance(entries, dict) or not all(
            isinstance(key, str) and (value is None or isinstance(value, kind)) for key, value in entries.items()
        ):
            raise CheckpointFileError(f"{name} of a {brief(self.class_name)} is no dict of {kind.__name__}.")
        return {key: value for key, value in entries.items() if value is not None}


class Opaque(Module):
    """An object of an unknown class, or the result of an unknown function; `class_path` is the full name of either."""

    class_path = ""

    def __new__(cls, *arguments: Any, **options: Any) -> Opaque:
        made = object.__new__(cls)
        object.__setattr__(made, "class_name", cls.class_path.rpartition(".")[2])
        object.__setattr__(made, "state", {})
        return made

    def __init__(self, *arguments: Any, **options: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        is_module = isinstance(state, dict) and isinstance(state.get("_modules"), dict)
        object.__setattr__(self, "state", state if is_module else {})

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Drops an item of what was a list."""

    def extend(self, items: Any) -> None:
        """Drops items of what was a list."""

    def add(self, item: Any) -> None:
        """Drops an item of what was a set."""

    def _entries(self, name: str, kind: type) -> dict[str, Any]:
        entries = self.state.get(name)
        entries = entries if isinstance(entries, dict) else {}
        return {key: value for key, value in entries.items() if isinstance(key, str) and isinstance(value, kind)}


class TensorflowNetwork:
    """Stands for a `dnnlib.tflib.network.Network`, and keeps its pickled state, a dict."""

    state: dict[str, Any]

    def __init__(self) -> None:
        self.state = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise CheckpointFileError("a TensorFlow network has no dict as its state.")
        self.state = state


class EasyDict(dict):
    """Stands for a `dnnlib.util.EasyDict`, which is pickled empty."""

    def __new__(cls) -> EasyDict:
        return super().__new__(cls)

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        """Attributes would hide methods: an EasyDict has none."""
        raise CheckpointFileError("an EasyDict is given attributes; it keeps them as entries.")


class ScriptObject:
    """An instance of a class defined inside a TorchScript archive; `vars()` returns its attributes."""


class ScriptGlobals(dict):
    """An allow-list of a TorchScript archive: its own classes (`__torch__.*`) become empty `ScriptObject`s."""

    def __missing__(self, key: tuple[str, str]) -> type:
        if key[0] != "__torch__" and not key[0].startswith("__torch__."):
            raise KeyError(key)
        return self.setdefault(key, type("ScriptObject", (ScriptObject,), {}))


HARMLESS = ("argparse", "collections", "datetime", "decimal", "enum", "functools", "pathlib", "random", "types", "uuid")
"""Modules of Python's library that trainings keep in checkpoints; objects of them become `Inert`."""
HARMLESS_BUILTINS = ("bytearray", "complex", "frozenset", "getattr", "object", "range", "slice", "type")
REFUSED = sys.stdlib_module_names | {"__builtin__", "commands", "copy_reg", "nt", "posix"}
"""Python's other modules, which no network needs, but attacks do."""
MAX_CLASSES = 1_000
"""The most unknown names of a file; EfficientNet, which projected GANs keep, has some twenty."""


class ForgivingGlobals(dict):
    """An allow-list of networks: names of other projects become `Opaque`, those of Python's library are refused."""

    def __missing__(self, key: tuple[str, str]) -> type:
        module, name = key
        package = module.partition(".")[0]
        if module in HARMLESS:
            return Inert
        is_harmless = module in ("builtins", "__builtin__") and name in HARMLESS_BUILTINS
        if (package in REFUSED and not is_harmless) or len(self) > MAX_CLASSES:
            raise KeyError(key)
        return self.setdefault(key, type("Opaque", (Opaque,), {"class_path": f"{module}.{name}"[:200]}))


def forgiving(known: Globals) -> ForgivingGlobals:
    """Makes a new list for one file, which grows with the names that the file has."""
    return ForgivingGlobals(known)
