"""Many results at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.runs import pictures
from jaxgan import images
from jaxgan.photos import photo_files

TILE = 96
"""Side of a picture."""
COLUMNS = 3
"""Faces side by side."""
MOST = 200
"""Faces on a sheet; the others are left out, and the sheet says so."""
PICTURES = ("truth.png", "observed.png", "reconstruction.png", "restoration.png")


def write(path: Path, folders: Sequence[Path]) -> None:
    """Draws truth, observed, reconstruction and restoration of every finished face.

    Args:
      path: PNG to write; nothing is written if no face is finished.
      folders: of the photographs; those of single faces inside them are found.
    """
    runs = [run for folder in folders for run in _runs(folder)]
    if not runs:
        return
    tiles = [(name[:44], _strip(run)) for name, run in runs[:MOST]]
    if len(runs) > MOST:
        tiles.append((f"and {len(runs) - MOST} more", np.full_like(tiles[0][1], 255)))
    images.write_png(path, pictures.sheet(tiles, columns=COLUMNS, gap=8, bar=16, font_size=11))


def _strip(run: Path) -> np.ndarray:
    """The pictures of a run side by side; white where the truth is not known, or nothing was to be restored."""
    blank = np.full((TILE, TILE, 3), 255, np.uint8)
    files = [run / name for name in PICTURES]
    tiles = [pictures.thumbnail(photo_files.read_photo(file), TILE) if file.exists() else blank for file in files]
    return np.concatenate(tiles, axis=1)


def _runs(folder: Path) -> list[tuple[str, Path]]:
    """Name and folder of each finished face of a photograph; of several seeds, the best."""
    if (folder / "reconstruction.png").exists():
        return [(folder.name, folder)]
    faces = sorted(folder.glob("face-*"), key=lambda face: int(face.name.removeprefix("face-")))
    return [(f"{folder.name} {face.name}", face) for face in faces if (face / "reconstruction.png").exists()]
