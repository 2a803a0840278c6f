"""Reads the landmarks of a face from a file, in the shapes that programs which find faces write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from jaxgan.errors import UserError
from jaxgan.photos.alignment import FacePoints, face_points

_EXPECTED = (
    "expected the JSON file of a face that experiments.align wrote, or numbers: x and y (in pixels of the photo; "
    "further columns are ignored) of dlib's 68 points, or of 5: both eyes, the nose, both corners of the mouth"
)


class Landmarks(NamedTuple):
    """The points of a face that a file holds."""

    points: FacePoints
    all_points: Float64[np.ndarray, "68 2"] | None  # None where the file has fewer


def read(path: str | os.PathLike[str]) -> Landmarks:
    """Reads a file of landmarks.

    Args:
      path: a JSON file (a list, or the record of a face that `experiments.align` wrote), a `.npy` file, or a text file
        of one point a line. Arrays are as for `from_array`.
    Raises:
      UserError: the file cannot be read, or holds something else.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".npy":
            return from_array(np.load(path, allow_pickle=False))
        text = path.read_text(encoding="utf-8-sig", errors="replace")
        if text.lstrip()[:1] in ("{", "["):
            return _from_json(json.loads(text))
        return from_array([line.replace(",", " ").split() for line in text.splitlines() if line.strip()])
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {_EXPECTED}.") from None
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{error}; " if isinstance(error, _ShapeError) else ""
        raise UserError(f"{path}: {reason}{_EXPECTED}.") from None


def from_array(values: Any) -> Landmarks:
    """Takes eyes and mouth from an array of landmarks.

    Args:
      values: numbers of shape [68, 2] in dlib's order, or [5, 2]: the eye on the left of an upright picture, the other
        eye, the nose, the corners of the mouth, left and right. A third column (depth or confidence) is ignored, and so
        are leading axes of length 1.
    Raises:
      ValueError: the array has another shape, or values that are not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    shape = array.shape
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or array.shape[0] not in (5, 68) or array.shape[1] not in (2, 3):
        raise _ShapeError(f"it holds {list(shape)} numbers")
    array = np.ascontiguousarray(array[:, :2])
    if not np.isfinite(array).all():
        raise _ShapeError("it holds numbers that are not finite")
    if len(array) == 68:
        return Landmarks(face_points(array), array)
    eye_left, eye_right, _, mouth_left, mouth_right = array
    return Landmarks(FacePoints(eye_left, eye_right, (mouth_left + mouth_right) / 2), None)


class _ShapeError(ValueError):
    """The numbers were read, but are no landmarks; the message says why."""


def _from_json(content: Any) -> Landmarks:
    if not isinstance(content, dict):
        return from_array(content)
    if content.get("landmarks") is not None:
        return from_array(content["landmarks"])
    points = (np.array(content["points"][name], dtype=np.float64) for name in FacePoints._fields)
    return Landmarks(FacePoints(*points), None)
