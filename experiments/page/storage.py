"""The folders of visitors: what they brought and what was made of it, until they delete it or a day has passed.

`root/VISITOR/draft-ID` holds a photograph that is being prepared, `root/VISITOR/result-ID` a repair. A visitor is known
by an identifier that nobody can guess, so that one cannot name the folders of another.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
import shutil
import time
from collections.abc import Collection
from pathlib import Path
from typing import Literal

Kind = Literal["draft", "result"]

RECORD = "record.json"
"""The file of a folder whose age is that of the folder."""

_VISITOR = re.compile(r"[A-Za-z0-9_-]{22}")
_NAME = re.compile(r"(draft|result)-[A-Za-z0-9_-]{22}")


def new_identifier() -> str:
    """Makes an identifier of 128 random bits."""
    return secrets.token_urlsafe(16)


def is_visitor(text: str | None) -> bool:
    """Tells whether a text has the form of a visitor's identifier."""
    return text is not None and _VISITOR.fullmatch(text) is not None


@dataclasses.dataclass(frozen=True)
class Storage:
    """The folders of all visitors.

    Attributes:
      root: holds them.
      hours: age at which a folder is deleted.
    """

    root: Path
    hours: float

    def make(self, visitor: str, kind: Kind) -> Path:
        """Makes an empty folder."""
        folder = self.root / visitor / f"{kind}-{new_identifier()}"
        folder.mkdir(parents=True)
        return folder

    def find(self, visitor: str, name: str | None) -> Path | None:
        """Finds a folder of a visitor by its name; None if there is none (any more)."""
        if not is_visitor(visitor) or name is None or not _NAME.fullmatch(name):
            return None
        folder = self.root / visitor / name
        return folder if folder.is_dir() else None

    def all(self, visitor: str, kind: Kind) -> list[Path]:
        """Lists the folders of a visitor that have a record, the last changed first."""
        folders = (self.root / visitor).glob(f"{kind}-*") if is_visitor(visitor) else ()
        return sorted((folder for folder in folders if (folder / RECORD).exists()), key=_changed, reverse=True)

    def delete_all(self, visitor: str) -> None:
        """Deletes everything of a visitor."""
        if is_visitor(visitor):
            shutil.rmtree(self.root / visitor, ignore_errors=True)

    def delete_old(self, *, busy: Collection[Path] = (), now: float | None = None) -> list[Path]:
        """Deletes folders that are too old.

        Args:
          busy: folders that are being worked on, which stay.
          now: seconds since 1970; default: the clock's.
        Returns:
          The folders that are gone.
        """
        oldest = (time.time() if now is None else now) - 3600 * self.hours
        visitors = [folder for folder in self.root.glob("*") if is_visitor(folder.name)]
        folders = [folder for visitor in visitors for folder in visitor.iterdir() if _NAME.fullmatch(folder.name)]
        old = [folder for folder in folders if _changed(folder) < oldest and folder not in busy]
        for folder in old:
            shutil.rmtree(folder, ignore_errors=True)
        for visitor in visitors:
            if not any(visitor.iterdir()):
                visitor.rmdir()
        return old


def _changed(folder: Path) -> float:
    record = folder / RECORD
    return (record if record.exists() else folder).stat().st_mtime
