"""A photograph with the landmarks and squares of its faces, beside the faces cut out of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from experiments.restore.faces import ChosenFace
from experiments.runs import pictures
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
    left = np.asarray(_photo_with_faces(photo, faces, quads))
    rows = max(1, len(left) // (TILE + _BAR + _GAP))
    tiles = [
        (str(face.index), np.asarray(ImageOps.expand(Image.fromarray(_small(crop)), _BORDER, _colour(face))))
        for face, crop in zip(faces, crops, strict=True)
    ]
    right = pictures.sheet(tiles, columns=-(-len(crops) // rows), gap=_GAP, bar=_BAR)
    return pictures.sheet([("", left), ("", right)], columns=2, gap=_GAP)


_BAR, _BORDER, _GAP = 20, 2, 8


def _small(crop: np.ndarray) -> np.ndarray:
    return pictures.thumbnail(crop, TILE - 2 * _BORDER)


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
