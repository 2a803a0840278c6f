"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path to write to in the body of a `with`; it takes the place of `path` once the body is done.

    The temporary path is always the same for a path, so that the next write removes what a killed process left. Two
    processes must therefore not write one path at the same time.

    Args:
      path: the file to write; its folder exists.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
