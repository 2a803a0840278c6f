"""Puts a converted network into its folder: whole or not at all, and never at the price of what was there."""

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
      UserError: it exists and `overwrite` is not given, or it is something else than a converted network.
    """
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already; choose another folder or give --overwrite.")
    if output.exists() and not _is_network(output):
        raise UserError(f"{output} exists and is no converted network; it is not overwritten.")


def write(output: Path, save: Callable[[Path], None], *, size: int = 0) -> None:
    """Saves a network's folder; an old one gives place to it, or stays where that fails.

    Args:
      output: the folder to make or replace.
      save: fills a folder of the given path.
      size: bytes that it is going to write.
    Raises:
      OSError: the output cannot be written; the disk is full, say.
    """
    with _place_for(output, size), files.replacing_folder(output) as partial:
        save(partial)


def write_file(output: Path, save: Callable[[Path], None], *, size: int = 0) -> None:
    """The same for a single file.

    Raises:
      OSError: the output cannot be written.
    """
    with _place_for(output, size), files.replacing(output) as partial:
        save(partial)
        partial.chmod(0o644)


@contextlib.contextmanager
def _place_for(output: Path, size: int) -> Iterator[None]:
    """Makes the folders above the output, and sees to it that there is room; removes them again on failure."""
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
    """Fails now if the disk or the quota is too small: Orbax would fail half way, in many messages."""
    if size > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if size and hasattr(os, "posix_fallocate"):
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)


def _is_network(folder: Path) -> bool:
    """Many other folders have a config.json, those of this project's results among them."""
    try:
        return json.loads((folder / "config.json").read_text())["format"] in ("jaxgan-generator", "jaxgan-lpips")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
