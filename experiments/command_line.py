"""Turns options back into the words of a command line, so that what was done can be repeated."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Container
from typing import Any

from experiments.options import Damage, InvertOptions


def words(options: Any, plain: Any, *, without: Container[str] = ()) -> list[str]:
    """Lists the arguments of all options that differ from others.

    Args:
      options: a dataclass of options, whose fields may be such dataclasses.
      plain: the others, of the same class; the defaults for example.
      without: names of options that are left out.
    """
    found = []
    for field in dataclasses.fields(options):
        value, other = getattr(options, field.name), getattr(plain, field.name)
        if dataclasses.is_dataclass(value):
            found += words(value, other, without=without)
        elif value != other and field.name not in without:
            found += [f"--{field.name.replace('_', '-')}"]
            found += [] if value is True else map(str, value) if isinstance(value, tuple) else [str(value)]
    return found


def invert(options: InvertOptions) -> str:
    """Writes the command line of `experiments.invert` that these options come from, quoted for a shell."""
    plain = InvertOptions(damage=Damage(task=options.damage.task))
    return f"python -m experiments.invert {shlex.join(['--task', options.damage.task, *words(options, plain)])}"
