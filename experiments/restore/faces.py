"""Which faces of a photograph to work on: found, counted, or pointed at by the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from jaxgan.errors import UserError
from jaxgan.photos import alignment, faces, landmarks
from jaxgan.photos.alignment import FacePoints

EQUAL = 0.05
"""Faces whose widths differ by less are of equal size to the eye."""


class FaceOptions(Protocol):
    """What the commands that align faces share."""

    face: str | int | None
    landmarks: tuple[Path, ...]
    eyes: tuple[str, ...]
    landmarks_model: Path | None


class ChosenFace(NamedTuple):
    """A face to align."""

    index: int
    points: FacePoints
    landmarks: np.ndarray | None  # [68, 2], None where only the eyes are known
    box: tuple[int, int, int, int] | None  # left, top, right, bottom, None where the user pointed at it
    score: float | None


def check(options: FaceOptions, photograph_count: int) -> None:
    """Checks the options before a photograph is read.

    Raises:
      UserError: options exclude each other, or a value is none.
    """
    if options.landmarks and options.eyes:
        raise UserError("--landmarks and --eyes exclude each other; leave one out.")
    if options.landmarks or options.eyes:
        name = "landmarks" if options.landmarks else "eyes"
        if options.face is not None:
            raise UserError(f"--face chooses among the faces that are found; --{name} names them: leave one out.")
        if options.landmarks_model is not None:
            raise UserError(f"--landmarks-model has no effect with --{name}; leave one out.")
        if photograph_count > 1:
            raise UserError(f"--{name} belongs to one photograph, not to {photograph_count}; run them one by one.")
    if isinstance(options.face, int) and options.face < 0:
        raise UserError(f"--face {options.face}: faces are numbered from 0 (largest first).")
    for text in options.eyes:
        _eyes(text)


def are_several(options: FaceOptions) -> bool:
    """Whether more than one face of a photograph may be asked for."""
    return options.face == "all" or len(options.landmarks) + len(options.eyes) > 1


def choose(photo: np.ndarray, path: Path, options: FaceOptions, say: Callable[[str], None]) -> list[ChosenFace]:
    """The faces asked for.

    Args:
      photo: uint8 `[H, W, 3]`.
      path: its file, for messages.
      options: `face` None is the largest, with a word to the user if there are several.
      say: called with a line for the user.
    Raises:
      UserError: there is no such face, or what the user gave is no face.
    """
    if options.eyes:
        points = [alignment.points_from_eyes(*_eyes(text)) for text in options.eyes]
        return [ChosenFace(index, each, None, None, None) for index, each in enumerate(points)]
    if options.landmarks:
        return [_read_landmarks(file, index) for index, file in enumerate(options.landmarks)]
    try:
        # An exact number counts all faces there are, as `all` does.
        found = faces.find_faces(
            photo, options.landmarks_model, thorough=options.face == "all" or isinstance(options.face, int)
        )
    except faces.NoFaceError as error:
        raise UserError(
            f"{path}: {error}; or show where it is: --eyes x1,y1,x2,y2 with the centres of both eyes in pixels, "
            "or --landmarks FILE. A network that makes no faces takes --already-aligned or --crop x0,y0,x1,y1."
        ) from None
    chosen = [
        ChosenFace(index, alignment.face_points(face.landmarks), face.landmarks, face.box, face.score)
        for index, face in enumerate(found)
    ]
    if options.face == "all":
        return chosen
    if isinstance(options.face, int):
        if options.face >= len(found):
            raise UserError(
                f"{path}: there is no face {options.face}; found {len(found)}, numbered from 0 (largest first)."
            )
        return [chosen[options.face]]
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


def _eyes(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Both eyes, the one on the left of the picture first."""
    try:
        values = np.array([float(value) for value in text.split(",")])
    except ValueError:
        values = np.array([])
    if values.shape != (4,) or not np.isfinite(values).all():
        raise UserError(f"--eyes {text}: expected x1,y1,x2,y2, the centres of both eyes in pixels, e.g. 120,84,180,90.")
    first, second = values[:2], values[2:]
    if (first == second).all():
        raise UserError(f"--eyes {text}: both eyes are at the same place; expected two centres, in pixels.")
    return (first, second) if first[0] <= second[0] else (second, first)


def _read_landmarks(file: Path, index: int) -> ChosenFace:
    found = landmarks.read(file)
    return ChosenFace(index, found.points, found.all_points, None, None)
