"""A user's own degradation, a class in a file of Python."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

from jaxgan.degradations import Degradation, check_degradation
from jaxgan.errors import UserError


@functools.cache  # loaded twice, it would be two classes, whose instances do not fit into one batch
def load(text: str) -> Degradation:
    """Loads and checks a degradation.

    Args:
      text: FILE.py:Class; the class is called without arguments.
    Raises:
      UserError: there is no such class, or what it makes is no degradation.
    """
    file, _, name = text.rpartition(":")
    if not (file.endswith(".py") and name.isidentifier()):
        raise UserError(f"--degradation is {text!r}; expected FILE.py:Class.")
    if not Path(file).is_file():
        raise UserError(f"--degradation {text}: there is no file {file}.")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        degradation = getattr(module, name)()
        check_degradation(degradation)
    except AttributeError as error:
        if hasattr(module, name):
            raise UserError(f"--degradation {text}: {type(error).__name__}: {error}") from error
        raise UserError(f"--degradation {text}: {file} has no class {name}.") from None
    except Exception as error:  # whatever the code of a user raises
        raise UserError(f"--degradation {text}: {type(error).__name__}: {error}") from error
    return degradation
