"""A photograph that is being prepared for its repair: its file, what was painted on it, its faces and all choices.

Everything lies in the draft's folder, so that a reload of the page, or a restart of the program, loses nothing.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.page import strokes
from experiments.page.choices import Choices
from experiments.page.storage import RECORD
from jaxgan import files

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Draft:
    """A photograph that is being prepared.

    Attributes:
      name: of its file.
      size: width and height, upright.
      painted: strokes, as the browser sent them.
      faces: 68 landmarks of each face that was found, in pixels.
      chosen: which of them are to be repaired.
      eyes: two for each face that the visitor pointed at, in pixels; they count instead of the faces that were found.
      choices: all else that is asked for.
    """

    name: str
    size: tuple[int, int]
    painted: tuple[dict[str, Any], ...] = ()
    faces: tuple[tuple[Point, ...], ...] = ()
    chosen: tuple[int, ...] = ()
    eyes: tuple[Point, ...] = ()
    choices: Choices = dataclasses.field(default_factory=Choices)


def photograph(folder: Path) -> Path:
    """The only file in the folder of the photograph."""
    return next((folder / "photograph").iterdir())


def save(folder: Path, draft: Draft) -> None:
    """Writes the record of a draft."""
    files.write_text(folder / RECORD, json.dumps(dataclasses.asdict(draft)))


def load(folder: Path) -> Draft:
    """Reads the record of a draft."""
    return from_record(json.loads((folder / RECORD).read_text()))


def from_record(record: dict[str, Any]) -> Draft:
    """The draft that `dataclasses.asdict` and JSON made a record of."""
    return Draft(
        name=record["name"],
        size=tuple(record["size"]),
        painted=tuple(record["painted"]),
        faces=tuple(tuple(tuple(point) for point in face) for face in record["faces"]),
        chosen=tuple(record["chosen"]),
        eyes=tuple(tuple(point) for point in record["eyes"]),
        choices=Choices(**record["choices"] | {"damages": tuple(record["choices"]["damages"])}),
    )


def hole(folder: Path, draft: Draft) -> np.ndarray:
    """The hole of a draft: the file that the visitor brought for it, and what was painted.

    Returns:
      bool `[H, W]`, True where something is missing.
    """
    file = folder / "hole.png"
    below = np.asarray(Image.open(file)) > 0 if file.exists() else None
    return strokes.draw(strokes.read(draft.painted), draft.size, below)


def keep_hole(folder: Path, mask: np.ndarray) -> None:
    """Keeps the mask of a file under what will be painted.

    Args:
      folder: of the draft.
      mask: `[H, W]`, 1 where the photograph is kept, of its size.
    """
    Image.fromarray(np.where(mask < 0.5, np.uint8(255), np.uint8(0))).save(folder / "hole.png")
