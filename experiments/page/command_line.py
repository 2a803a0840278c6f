"""The command that does what options say, as a line to be pasted into a shell."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from experiments.options import Damage, InvertOptions


def arguments(options: InvertOptions) -> list[str]:
    """Lists the arguments that `experiments.invert` makes these options of: all that are not at their defaults."""
    plain = InvertOptions(damage=Damage(task=options.damage.task))
    words = ["--task", options.damage.task]
    for group in dataclasses.fields(options):
        given, default = getattr(options, group.name), getattr(plain, group.name)
        for field in dataclasses.fields(given):
            if (value := getattr(given, field.name)) != getattr(default, field.name):
                words += _words(field.name, value)
    return words


def line(options: InvertOptions) -> str:
    """Writes the command line, quoted for a shell."""
    return f"python -m experiments.invert {shlex.join(arguments(options))}"


def _words(name: str, value: Any) -> list[str]:
    flag = f"--{name.replace('_', '-')}"
    if value is True:
        return [flag]
    return [flag, *map(str, value)] if isinstance(value, tuple) else [flag, str(value)]
