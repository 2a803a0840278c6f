"""The networks that a visitor may choose from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxgan.checkpoints import DEMO_FOLDER
from jaxgan.errors import UserError


def choices(models: Sequence[Path]) -> list[tuple[str, str]]:
    """Lists networks: a description of each, and what `--model` takes for it.

    Args:
      models: folders of converted networks, or folders of such folders.
    Raises:
      UserError: one is neither.
    """
    found = [(_described("the network that comes with the program", DEMO_FOLDER), "demo")]
    for folder in models:
        inside = [folder, *sorted(folder.glob("*/"))]
        networks = [(_described(path.name, path), str(path.resolve())) for path in inside if _config(path) is not None]
        if not networks:
            raise UserError(
                f"{folder} holds no network; expected a folder that `python -m convert stylegan2` wrote, or a folder "
                "of such folders."
            )
        found += networks
    return found


def _described(name: str, folder: Path) -> str:
    config = _config(folder)
    side = config["resolution"] if config is not None else "?"
    return f"{name} (faces of {side}x{side} pixels)"


def _config(folder: Path) -> dict[str, Any] | None:
    try:
        settings = json.loads((folder / "config.json").read_text())
        return settings["config"] if settings["format"] == "jaxgan-generator" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
