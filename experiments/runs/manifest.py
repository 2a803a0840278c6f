"""The manifest, which says how each photograph ended: JSON lines, only appended to, so that a kill loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from experiments.runs import settings as run_settings
from experiments.runs.lock import Lock
from jaxgan.errors import UserError

State = Literal["started", "finished", "failed"]


FORMAT = {"format": "jaxgan-manifest", "format_version": 2}


class Manifest:
    """JSON lines; the first has the settings, each other one an event of an item. The last event of an item counts."""

    def __init__(self, path: Path, settings: dict[str, Any], *, resume: bool):
        """Begins a manifest, or goes on with it.

        Raises:
          UserError: it was begun with other settings, or by another version of this program.
        """
        self.path = path
        lines = _read(path) if resume else []
        self.events = {line["item"]: line for line in lines if "item" in line}
        self.sizes = {line["group"]: line["batch_size"] for line in lines if "group" in line}
        settings = run_settings.as_stored(settings)
        header = lines[0] if lines else None
        if header is None:
            path.write_bytes(b"")
            self._append(FORMAT | {"settings": settings})
            return
        _cut_half_a_line(path)
        if header.get("format_version") != FORMAT["format_version"]:
            raise UserError(f"{path} was written by another version of this program; choose another --output.")
        if differing := run_settings.differences(header["settings"], settings):
            raise UserError(
                f"{path} was started with other settings ({'; '.join(differing)}); repeat its command to resume it, "
                "or choose another --output."
            )

    def is_finished(self, item: str) -> bool:
        """Whether the last event of an item says so."""
        return self.events.get(item, {}).get("state") == "finished"

    def write_size(self, group: str, size: int) -> None:
        """Records the size of the batches of photographs of one kind: only the same one repeats every bit."""
        self.sizes[group] = size
        self._append({"group": group, "batch_size": size})

    def write(self, item: str, state: State, **facts: Any) -> None:
        """Adds an event; an item that is finished stays so."""
        if not self.is_finished(item):
            self.events[item] = {"item": item, "state": state, **facts}
            self._append({**self.events[item], "time": datetime.now(UTC).isoformat(timespec="seconds")})

    def _append(self, line: dict[str, Any]) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps(line, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def opened(path: Path, settings: dict[str, Any], *, resume: bool) -> Iterator[Manifest]:
    """A manifest, which no other process writes as long as the block lasts.

    Raises:
      UserError: another process writes it, or as for `Manifest`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with Lock(path.parent, path.stem):
        yield Manifest(path, settings, resume=resume)


def name(shard: str | None) -> str:
    """The file's name without its suffix; shards have one each, as appending to one is not safe on network disks."""
    return "manifest" if shard is None else f"manifest-{shard.replace('/', '-of-')}"


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    whole = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline was being written
    try:
        return [json.loads(line) for line in whole]
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}; start again with --overwrite.") from None


def _cut_half_a_line(path: Path) -> None:
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
