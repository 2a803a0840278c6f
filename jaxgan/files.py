"""Writes files and folders whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxgan.errors import UserError


@contextmanager
def replacing(path: str | os.PathLike[str], suffix: str | None = None) -> Iterator[Path]:
    """Yields a temporary path to write to; when the body of the `with` ends, that file takes the place of `path`.

    If the body fails, the temporary file is removed and an earlier file at `path` stays as it was. The temporary name
    is the same each time, so that the next write removes what a killed process left behind. Two processes must
    therefore not write one path at the same time.

    Args:
      path: the file to write; its folder exists.
      suffix: the end that the name must have, in lower case and with its dot, as `.png`; None allows any.
    Raises:
      UserError: `path` does not end in `suffix`, its folder is missing, or it is a folder.
    """
    path = Path(path)
    if suffix is not None and path.suffix.lower() != suffix:
        raise UserError(f"{path}: expected a name that ends in {suffix}: write to {path.with_suffix(suffix).name}")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; create it first")
    if path.is_dir():
        raise UserError(f"{path}: a folder of that name exists; choose another name or remove the folder")
    temporary = path.with_name(f".{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file whole or not at all; see `replacing` for its errors."""
    with replacing(path) as temporary:
        temporary.write_text(text)


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path to make a folder at; once the body of the `with` is done, it takes the place of `path`.

    A folder that was at `path` in the beginning is moved aside, and back if the new one cannot take its place. If the
    body fails, nothing of the new folder is left.

    Args:
      path: the folder to write; its parent exists.
    Raises:
      OSError: another process made the folder meanwhile, whose work stays.
    """
    path = Path(path)
    is_old = path.exists()
    with tempfile.TemporaryDirectory(
        prefix=f".{path.name[:50]}-", dir=path.parent, ignore_cleanup_errors=True
    ) as beside:
        new, old = Path(beside, "new"), Path(beside, "old")
        yield new
        if is_old:
            path.rename(old)
        try:
            new.rename(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
