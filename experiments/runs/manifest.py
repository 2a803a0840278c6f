"""What became of each photograph: an append-only file of JSON lines that survives being killed while it writes."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from experiments.runs import settings as run_settings
from jaxgan.errors import UserError

State = Literal["started", "finished", "failed"]


class Manifest:
    """JSON lines; the first has the settings, each other one an event of an item. The last event of an item counts."""

    def __init__(self, path: Path, settings: dict[str, Any], *, resume: bool):
        """Begins a manifest, or goes on with it.

        Raises:
          UserError: it was begun with other settings.
        """
        self.path = path
        lines = _read(path) if resume else []
        self.events = {line["item"]: line for line in lines if "item" in line}
        self.sizes = {line["group"]: line["batch_size"] for line in lines if "group" in line}
        settings = json.loads(json.dumps(settings, default=str))  # as the file gives it back
        header = next((line["settings"] for line in lines if "settings" in line), None)
        if header is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
            self._append({"settings": settings})
            return
        _cut_half_a_line(path)
        if differing := run_settings.differences(header, settings):
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


def name(shard: str | None) -> str:
    """The file's name; shards of a run have one each, as appending to one file is not safe on network disks."""
    return "manifest.jsonl" if shard is None else f"manifest-{shard.replace('/', '-of-')}.jsonl"


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
