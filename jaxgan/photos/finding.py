"""Finds the photographs that a user names by files, folders and patterns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxgan.errors import UserError
from jaxgan.photos.opening import is_photo

_SHOWN = 3  # at most so many names of files that were left out are shown


class Found(NamedTuple):
    """The photographs that were found, and the other files beside them."""

    photos: tuple[Path, ...]  # each once, in the order in which they were named, inside of a folder that of names
    left_out: tuple[Path, ...]  # files in the folders and patterns that are no photographs

    @property
    def note(self) -> str | None:
        """Makes a line for the user on the files that were left out; None if there are none."""
        if not self.left_out:
            return None
        names = ", ".join(path.name for path in self.left_out[:_SHOWN]) + ", ..." * (len(self.left_out) > _SHOWN)
        count = len(self.left_out)
        return f"{count} file{'s are' if count > 1 else ' is'} left out, being no photograph: {names}"


def find_photos(named: Sequence[Path]) -> Found:
    """Finds photographs by their content, so that suffixes do not matter.

    A file that is named itself is taken as it is. Of a folder, and of what fits a pattern (`*`, `?`, `[...]`), all that
    `opening.is_photo` knows are taken. A path that exists is no pattern, and neither is the part of a path that exists:
    `family [1952]/*.jpg` looks into the folder `family [1952]`.

    Args:
      named: files, folders and patterns.
    Raises:
      UserError: a folder holds no photograph, or no photograph fits a pattern.
    """
    photos: dict[Path, None] = {}
    left_out: dict[Path, None] = {}
    for path in named:
        if path.is_dir():
            files, nothing = [*path.iterdir()], f"{path} holds no photograph."
        elif not path.exists() and any(sign in str(path) for sign in "*?["):
            files, nothing = [*_fitting(path)], f"no photograph fits {path}."
        else:
            photos[path] = None
            continue
        inside = sorted(file for file in files if file.is_file())
        taken = [file for file in inside if is_photo(file)]
        if not taken:
            raise UserError(nothing)
        photos.update(dict.fromkeys(taken))
        left_out.update(dict.fromkeys(file for file in inside if file not in set(taken)))
    return Found(tuple(photos), tuple(left_out))


def _fitting(pattern: Path) -> Iterator[Path]:
    """Yields what fits the pattern below the longest part of it that exists."""
    root = next((parent for parent in pattern.parents if parent.is_dir()), None)
    return iter(()) if root is None else root.glob(str(pattern.relative_to(root)))
