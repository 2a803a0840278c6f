"""Which faces of a photograph to work on: found, counted, or pointed at by the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments import validation
from experiments.options import FaceChoice
from jaxgan.errors import UserError
from jaxgan.photos import alignment, faces, landmarks
from jaxgan.photos.alignment import FacePoints

EQUAL = 0.05
"""Faces whose widths differ by less are of equal size to the eye."""


class ChosenFace(NamedTuple):
    """A face to align."""

    index: int
    points: FacePoints
    landmarks: np.ndarray | None  # [68, 2], None where only the eyes are known
    box: tuple[int, int, int, int] | None  # left, top, right, bottom, None where the user pointed at it
    score: float | None


def choose(photo: np.ndarray, path: Path, choice: FaceChoice, say: Callable[[str], None]) -> list[ChosenFace]:
    """The faces asked for.

    Args:
      photo: uint8 `[H, W, 3]`.
      path: its file, for messages.
      choice: of the largest face, the user is told if there are several.
      say: called with a line for the user.
    Raises:
      UserError: there is no such face, or what the user gave is no face.
    """
    if choice.eyes:
        points = [alignment.points_from_eyes(*map(np.array, validation.eye_centres(text))) for text in choice.eyes]
        return [ChosenFace(index, each, None, None, None) for index, each in enumerate(points)]
    if choice.landmarks:
        return [read_landmarks(file, index) for index, file in enumerate(choice.landmarks)]
    try:
        # An exact number counts all faces there are, as `all` does.
        found = faces.find_faces(photo, choice.landmarks_model, thorough=choice.face != "largest")
    except faces.NoFaceError as error:
        raise UserError(
            f"{path}: {error}; or show where it is: --eyes x1,y1,x2,y2 with the centres of both eyes in pixels, "
            "or --landmarks FILE. A network that makes no faces takes --already-aligned or --crop x0,y0,x1,y1."
        ) from None
    chosen = [
        ChosenFace(index, alignment.face_points(face.landmarks), face.landmarks, face.box, face.score)
        for index, face in enumerate(found)
    ]
    if choice.face == "all":
        return chosen
    if absent := [str(number) for number in choice.numbers if number >= len(found)]:
        raise UserError(
            f"{path}: there is no face {', '.join(absent)}; found {len(found)}, numbered from 0 (largest first)."
        )
    if choice.numbers:
        return [chosen[number] for number in choice.numbers]
    if len(found) > 1:
        equal = sum(face.width > (1 - EQUAL) * found[0].width for face in found) > 1
        which = f"the surest of those of equal size, around {_place(found[0])}" if equal else "the largest"
        say(
            f"{path}: {len(found)} faces found, taking {which}; --face N picks another (0 to {len(found) - 1}), "
            "--face all takes all."
        )
    return chosen[:1]


def quad_of(face: ChosenFace, path: Path, scale: float) -> alignment.AlignmentQuad:
    """The square to cut out.

    Raises:
      UserError: the points span none.
    """
    try:
        return alignment.quad_from_points(face.points, scale=scale)
    except ValueError as error:
        raise UserError(f"{path}: face {face.index}: {error}") from None


def warn_if_cut(quad: alignment.AlignmentQuad, photo: np.ndarray, label: str, say: Callable[[str], None]) -> None:
    """Says so where much of the square is outside of the photograph."""
    steps = (np.arange(64) + 0.5) / 32 - 1
    places = quad.c + steps[:, None, None] * quad.x + steps[None, :, None] * quad.y  # [64, 64, 2]
    outside = ((places < -0.5) | (places >= np.array(photo.shape[1::-1]) - 0.5)).any(axis=-1).mean()
    if outside > 0.05:
        say(f"{label}: {outside:.0%} of its square is outside of the photo and filled with a blurred reflection.")


def _place(face: faces.Face) -> str:
    left, top, right, bottom = face.box
    return f"x, y = {(left + right) // 2}, {(top + bottom) // 2}"


def read_landmarks(file: Path, index: int) -> ChosenFace:
    """A face from a file of landmarks, see `jaxgan.photos.landmarks`."""
    found = landmarks.read(file)
    return ChosenFace(index, found.points, found.all_points, None, None)
