"""Puts a converted network into its folder: whole or not at all, and never at the price of what was there."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from jaxgan.errors import UserError


def check(output: Path, *, overwrite: bool) -> None:
    """Refuses an output folder before any work is done.

    Raises:
      UserError: it exists and `overwrite` is not given, or it is something else than a converted network.
    """
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already; choose another folder or give --overwrite.")
    if output.exists() and not (output / "config.json").is_file():
        raise UserError(f"{output} exists and is no converted network; it is not overwritten.")


def write(output: Path, save: Callable[[Path], None]) -> None:
    """Saves into a new folder beside the output, then renames: an old output is moved aside, and back on failure.

    Args:
      output: the folder to make or replace.
      save: fills a folder of the given path.
    """
    missing = [folder for folder in output.parents if not folder.exists()]
    output.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        save(work / "new")
        if output.exists():
            output.rename(work / "old")
        try:
            (work / "new").rename(output)
        except BaseException:
            if (work / "old").exists():
                (work / "old").rename(output)
            raise
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):  # somebody else may have put something there meanwhile
            for folder in missing:
                folder.rmdir()
        raise
    shutil.rmtree(work, ignore_errors=True)
