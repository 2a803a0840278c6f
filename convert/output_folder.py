"""Puts a converted network into its folder whole or not at all, and keeps what was there if that fails."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxgan import files
from jaxgan.errors import UserError


def check(output: Path, *, overwrite: bool) -> None:
    """Refuses an output folder before any work is done.

    Raises:
      UserError: the folder exists and `overwrite` is not given, or it holds something else than a converted network.
    """
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already; choose another folder or give --overwrite.")
    if output.exists() and not _is_network(output):
        raise UserError(f"{output} exists and is no converted network; it is not overwritten.")


def write(output: Path, save: Callable[[Path], None], *, size: int = 0) -> None:
    """Saves a network's folder; an old one is replaced, or stays where saving fails.

    Args:
      output: the folder to make or replace.
      save: a function that fills the folder at a given path.
      size: the number of bytes that `save` is going to write.
    Raises:
      OSError: the output cannot be written, because the disk is full, for example.
    """
    with _place_for(output, size), files.replacing_folder(output) as partial:
        save(partial)


def write_file(output: Path, save: Callable[[Path], None], *, size: int = 0) -> None:
    """Saves a single file beside the output and renames it, as `write` does with a folder.

    Raises:
      OSError: the output cannot be written.
    """
    with _place_for(output, size), files.replacing(output) as partial:
        save(partial)
        partial.chmod(0o644)


@contextlib.contextmanager
def _place_for(output: Path, size: int) -> Iterator[None]:
    """Makes the folders above the output and checks that there is room; removes the folders again on failure."""
    missing = [folder for folder in output.parents if not folder.exists()]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _reserve(output.parent, size)
        yield
    except BaseException as error:
        with contextlib.suppress(OSError):  # somebody else may have put something there meanwhile
            for folder in missing:
                folder.rmdir()
        if isinstance(error, UserError) or not isinstance(error, Exception):
            raise
        # Orbax and safetensors let errors of all kinds through, with names of temporary files
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
        raise OSError(f"{output} cannot be written: {reason}") from error


def _reserve(folder: Path, size: int) -> None:
    """Fails at once if the disk or the quota is too small, because Orbax would fail half way, in many messages."""
    if size > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if size and hasattr(os, "posix_fallocate"):
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)


def _is_network(folder: Path) -> bool:
    """Tells a network folder from the many others that have a config.json, such as results of this project."""
    try:
        return json.loads((folder / "config.json").read_text())["format"] in ("jaxgan-generator", "jaxgan-lpips")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
