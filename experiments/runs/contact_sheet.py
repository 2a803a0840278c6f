"""Many results at a glance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

TILE = 96
"""Side of a picture."""
COLUMNS = 4
"""Faces side by side."""
MOST = 200
"""Faces on a sheet; the others are left out, and the sheet says so."""
PICTURES = ("target.png", "degraded.png", "reconstruction.png")


def write(path: Path, folders: Sequence[Path]) -> None:
    """Draws photograph, degraded photograph and reconstruction of every finished face.

    Args:
      path: PNG to write; nothing is written if no face is finished.
      folders: of the photographs; those of single faces inside them are found.
    """
    runs = [run for folder in folders for run in _runs(folder)]
    shown = runs[:MOST]
    if not shown:
        return
    font = ImageFont.load_default(size=11)
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    width, height, foot = len(PICTURES) * TILE + 8, TILE + 22, 18 * (len(runs) > MOST)
    sheet = Image.new("RGB", (columns * width - 8, rows * height + foot), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (name, run) in enumerate(shown):
        left, top = index % columns * width, index // columns * height
        for place, picture in enumerate(PICTURES):
            if (run / picture).exists():
                with Image.open(run / picture) as image:
                    size = Image.Resampling.LANCZOS if image.width > TILE else Image.Resampling.NEAREST
                    sheet.paste(image.convert("RGB").resize((TILE, TILE), size), (left + place * TILE, top + 16))
        draw.text((left, top), name[:44], fill="black", font=font)
    if foot:
        draw.text((0, rows * height), f"and {len(runs) - MOST} more", fill="black", font=font)
    partial = path.with_name(f".{path.name}")
    sheet.save(partial, "PNG")
    partial.replace(path)


def _runs(folder: Path) -> list[tuple[str, Path]]:
    """Name and folder of each finished face of a photograph; of several seeds, the best."""
    if (folder / "reconstruction.png").exists():
        return [(folder.name, folder)]
    faces = sorted(folder.glob("face-*"), key=lambda face: int(face.name.removeprefix("face-")))
    return [(f"{folder.name} {face.name}", face) for face in faces if (face / "reconstruction.png").exists()]
