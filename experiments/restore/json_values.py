"""JSON values for the fields of a dataclass, checked against the types that it declares."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal


def read(into: type, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Converts values to the types of the fields of the same names.

    Args:
      into: a dataclass, whose types are made of int, float, bool, str, Path, None, Literal, tuples and unions of them.
      given: JSON values by field.
    Returns:
      The values, and a sentence for each value that does not fit.
    """
    hints = typing.get_type_hints(into)
    values, problems = {}, []
    for name, value in given.items():
        try:
            values[name] = _convert(value, hints[name])
        except ValueError:
            problems.append(f"{name} is {value!r}; expected {_words(hints[name])}.")
    return values, problems


def _convert(value: Any, hint: Any) -> Any:
    """The value as the type wants it; ValueError if it does not fit."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal and isinstance(value, str) and value in arguments:
        return value
    if origin in (typing.Union, types.UnionType):
        for argument in arguments:
            try:
                return _convert(value, argument)
            except ValueError:
                continue
    if origin is tuple and isinstance(value, list):
        if arguments[-1] is Ellipsis:
            return tuple(_convert(item, arguments[0]) for item in value)
        if len(value) == len(arguments):
            return tuple(_convert(item, argument) for item, argument in zip(value, arguments, strict=True))
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and type(value) in (int, float):  # a bool is an int to Python
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    if hint is type(None) and value is None:
        return None
    raise ValueError


def _words(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(f'"{argument}"' for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_words(argument) for argument in arguments)
    if origin is tuple:
        many = "any number" if arguments[-1] is Ellipsis else str(len(arguments))
        return f"a list of {many} of {_words(arguments[0])}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "the name of a file"}
    return "null" if hint is type(None) else names[hint]
