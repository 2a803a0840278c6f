"""Finds names in backticks that name nothing: `module.name`, `Class.method`, `name()` and `ClassName`."""

from __future__ import annotations

import builtins
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

NAME = re.compile(r"`{1,2}([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(\(\))?`{1,2}")
CLASS_NAME = re.compile(r"[A-Z]+[a-z]\w+")
FILE_ENDINGS = ("ckpt", "csv", "gif", "jpg", "json", "jsonl", "md", "npz", "pkl", "png", "pt", "pth", "py", "toml")
FOREIGN = ("dnnlib", "torch_utils", "G_ema")
"""First parts of names in other people's files, which nobody can import here."""


def broken(module: ModuleType) -> list[str]:
    """The names in a module's docstrings that name nothing, each with the place where it stands."""
    problems = []
    for place, value in _documented(module):
        scopes = [value, module, *_packages(module)]
        for name in names_in(value.__doc__ or ""):
            if not any(_resolves(scope, name) for scope in scopes) and not _is_imported(name):
                problems.append(f"{place}: `{name}`")
    return problems


def modules_of(package: str) -> list[ModuleType]:
    """A package and all modules in it; `__main__` is left out, which runs when it is imported."""
    names = (found.name for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."))
    return [importlib.import_module(name) for name in [package, *sorted(names)] if not name.endswith("__main__")]


def names_in(text: str) -> list[str]:
    """The names in backticks that a reader takes for one of the code: with a dot, with (), or a class's."""
    found = []
    for name, call in NAME.findall(text):
        parts = name.split(".")
        if parts[0] in FOREIGN or parts[-1] in FILE_ENDINGS:
            continue
        if "." in name or call or CLASS_NAME.fullmatch(name):
            found.append(name)
    return found


def _documented(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The module itself, its functions, its classes and their methods, private ones included."""
    yield module.__name__, module
    for name, value in list(vars(module).items()):
        if getattr(value, "__module__", None) != module.__name__ or not hasattr(value, "__doc__"):
            continue
        yield f"{module.__name__}.{name}", value
        for attribute, member in vars(value).items() if inspect.isclass(value) else ():
            if inspect.isroutine(member) or isinstance(member, property):
                yield f"{module.__name__}.{name}.{attribute}", member


def _packages(module: ModuleType) -> list[ModuleType]:
    parts = module.__name__.split(".")
    return [importlib.import_module(".".join(parts[:count])) for count in range(1, len(parts))]


def _resolves(scope: Any, name: str) -> bool:
    for part in name.split("."):
        fields = getattr(scope, "__dataclass_fields__", {}) | getattr(scope, "__annotations__", {})
        if part in fields and not hasattr(scope, part):
            return True  # a field without a default, of whose type nothing is known here
        if not hasattr(scope, part):
            return False
        scope = getattr(scope, part)
    return True


def _is_imported(name: str) -> bool:
    """Whether the name is Python's own, or leads into a module that can be imported."""
    if hasattr(builtins, name):
        return True
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        return _resolves(module, ".".join(parts[count:])) if count < len(parts) else True
    return False
