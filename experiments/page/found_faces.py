"""The faces of a draft: found, shown as squares, and handed to the command as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.options import FaceChoice
from experiments.page.drafts import Draft, Point
from jaxgan import files
from jaxgan.photos import alignment, faces


def find(photo: np.ndarray, *, thorough: bool = False) -> tuple[tuple[Point, ...], ...]:
    """Finds the faces of a photograph.

    Args:
      photo: uint8 `[H, W, 3]`.
      thorough: whether to look for small faces beside large ones, which takes longer.
    Returns:
      68 landmarks of each in pixels, the largest face first; none if there is no face.
    """
    try:
        found = faces.find_faces(photo, thorough=thorough)
    except faces.NoFaceError:
        return ()
    return tuple(tuple((round(x, 2), round(y, 2)) for x, y in face.landmarks.tolist()) for face in found)


def squares(draft: Draft) -> list[list[Point]]:
    """The squares that are worked on, in the order of the faces.

    Returns:
      Four corners of each, in shares of the photograph's width and height.
    """
    points = [alignment.face_points(np.array(face)) for face in draft.faces]
    if draft.eyes:
        pairs = list(zip(draft.eyes[::2], draft.eyes[1::2], strict=False))
        points = [alignment.points_from_eyes(*map(np.array, sorted(pair))) for pair in pairs if pair[0] != pair[1]]
    quads = [alignment.quad_from_points(each).quad for each in points]
    return [((quad + 0.5) / np.array(draft.size)).round(4).tolist() for quad in quads]


def write(draft: Draft, folder: Path) -> None:
    """Writes the landmarks of the chosen faces, unless the visitor pointed at the eyes."""
    for name, index in zip(_names(draft), sorted(draft.chosen), strict=False):
        files.write_text(folder / name, json.dumps(draft.faces[index]))


def choice(draft: Draft, folder: Path) -> FaceChoice:
    """The chosen faces as options of the command; the files of landmarks are those that `write` wrote into a folder.

    Raises:
      ValueError: no face is chosen, or an eye is missing.
    """
    if len(draft.eyes) % 2:
        raise ValueError("Click the second eye of the face, too.")
    if draft.eyes:
        return FaceChoice(eyes=tuple(_as_text(pair) for pair in zip(draft.eyes[::2], draft.eyes[1::2], strict=True)))
    if not draft.faces:
        raise ValueError("No face was found: click the two eyes of the face in the picture above.")
    if not draft.chosen:
        raise ValueError("Choose one face or more in the picture above.")
    return FaceChoice(landmarks=tuple(folder / name for name in _names(draft)))


def _names(draft: Draft) -> Sequence[str]:
    return () if draft.eyes else [f"face-{index + 1}.json" for index in sorted(draft.chosen)]


def _as_text(pair: tuple[Point, Point]) -> str:
    return ",".join(f"{value:g}" for point in pair for value in point)
