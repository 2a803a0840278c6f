"""A photograph with the landmarks and squares of its faces, beside the faces cut out of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.restore.faces import ChosenFace
from jaxgan.photos.alignment import AlignmentQuad

LARGEST = 1200
"""Pixels of the longer side of the photograph in the picture."""
TILE = 256
"""Side of a cut-out face in the picture."""
COLOURS = ("#00d0ff", "#ffd000", "#ff60c0", "#60ff60", "#ff8040", "#b090ff")
# Of dlib's 68 points: chin, brows, nose, eyes, lips; the last point of a closed line is its first.
LINES = (
    *(range(0, 17), range(17, 22), range(22, 27), range(27, 31), range(31, 36)),
    *((*range(36, 42), 36), (*range(42, 48), 42), (*range(48, 60), 48), (*range(60, 68), 60)),
)


def draw(
    photo: np.ndarray, faces: Sequence[ChosenFace], quads: Sequence[AlignmentQuad], crops: Sequence[np.ndarray]
) -> np.ndarray:
    """Draws the picture.

    Args:
      photo: uint8 `[H, W, 3]`.
      faces, quads, crops: one or more faces with their squares, and what was cut out.
    Returns:
      uint8 picture.
    """
    left = _photo_with_faces(photo, faces, quads)
    rows = max(1, left.height // (TILE + _GAP))
    columns = -(-len(crops) // rows)
    rows = -(-len(crops) // columns)
    sheet = Image.new(
        "RGB",
        (left.width + columns * (TILE + _GAP), max(left.height, rows * (TILE + _GAP) - _GAP)),
        "white",
    )
    sheet.paste(left, (0, 0))
    pen = ImageDraw.Draw(sheet)
    for place, (face, crop) in enumerate(zip(faces, crops, strict=True)):
        x, y = left.width + _GAP + place // rows * (TILE + _GAP), place % rows * (TILE + _GAP)
        filter_ = Image.Resampling.LANCZOS if len(crop) > TILE else Image.Resampling.NEAREST
        sheet.paste(Image.fromarray(crop).resize((TILE, TILE), filter_), (x, y))
        pen.rectangle((x, y, x + TILE - 1, y + TILE - 1), outline=_colour(face), width=2)
        _label(pen, (x + 4, y + 2), face)
    return np.asarray(sheet)


_GAP = 8


def _photo_with_faces(photo: np.ndarray, faces: Sequence[ChosenFace], quads: Sequence[AlignmentQuad]) -> Image.Image:
    """The photograph, enlarged or reduced, with room for squares that reach out of it."""
    height, width = photo.shape[:2]
    corners = np.concatenate([quad.quad for quad in quads])
    low = np.maximum(np.minimum(corners.min(axis=0) - 4, 0), [-0.5 * width, -0.5 * height])
    high = np.minimum(np.maximum(corners.max(axis=0) + 4, [width, height]), [1.5 * width, 1.5 * height])
    factor = LARGEST / max(width, height)
    if factor > 1:
        factor = min(factor, max(1, 600 / max(width, height)))
    size = [max(1, round(side * factor)) for side in (width, height)]
    picture = Image.new("RGB", [max(1, round(side * factor)) for side in high - low], "#404040")
    picture.paste(
        Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS), [round(-side * factor) for side in low]
    )
    pen = ImageDraw.Draw(picture)

    def place(points: np.ndarray) -> list[tuple[float, float]]:
        return [tuple(point) for point in ((np.asarray(points) + 0.5 - low) * factor).tolist()]

    for face, quad in zip(faces, quads, strict=True):
        colour, thickness = _colour(face), max(1, round(min(quad.qsize * factor / 150, 3)))
        pen.line([*place(quad.quad), place(quad.quad)[0]], fill=colour, width=thickness + 1)
        pen.line(place(quad.quad[[0, 3]]), fill="white", width=thickness + 1)  # the upper side
        if face.landmarks is None:
            points = np.stack(face.points)
        else:
            points = face.landmarks
            for line in LINES:
                pen.line(place(points[list(line)]), fill=colour, width=thickness)
        for x, y in place(points):
            pen.ellipse((x - thickness, y - thickness, x + thickness, y + thickness), fill="white")
        _label(pen, place(quad.quad[:1])[0], face)
    return picture


def _colour(face: ChosenFace) -> str:
    return COLOURS[face.index % len(COLOURS)]


def _label(pen: ImageDraw.ImageDraw, place: tuple[float, float], face: ChosenFace) -> None:
    pen.text(
        place, str(face.index), fill=_colour(face), font=ImageFont.load_default(20), stroke_width=2, stroke_fill="black"
    )
