"""Finds faces of all sizes and their landmarks with dlib, and looks for turned faces if none is upright.

Reference: Kazemi, Sullivan, One Millisecond Face Alignment with an Ensemble of Regression Trees, 2014.
"""

import hashlib
import math
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from jaxgan.errors import UserError

SCAN_PIXELS = 8_000_000
"""The detector is shown at most this many pixels at once."""

ENLARGED_PIXELS = 64_000_000
"""An enlarged photo has at most this many pixels; it is looked at in tiles."""

TILE, OVERLAP = 2048, 320
"""The side and the overlap of tiles, in scanned pixels; a face wider than the overlap was seen at half the size."""

MIN_FACE = 80
"""The side in pixels of dlib's detection window; smaller faces are not found."""

TURNS = (-40.0, 40.0, 90.0, -90.0, 180.0)
"""The clockwise turns in degrees that are tried last; the detector itself takes tilts of about 30."""

TURNED_PIXELS = 2_000_000
"""A turned photo has at most this many pixels."""

SURE_SCORE = 0.3
"""The score that a face must reach beside a sure one and in a turned photo; it is above that of badges and collars."""

TILTED = 12
"""The tilt in degrees from which on landmarks are sought again with the eyes level."""

LEVEL_SIDE = 512
"""The side in pixels of the square, three times as wide as the face, that is turned for that."""

MODEL_SHA256 = "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f"
_INSTALL_MODEL = "pip install --force-reinstall --no-deps face_recognition_models==0.3.0"


class NoFaceError(UserError):
    """No face was found in a photo; the message says what was tried."""


class Face(NamedTuple):
    """A face found in a photo, in pixels of the photo."""

    box: tuple[int, int, int, int]  # left, top, right, bottom (the last two exclusive); may reach out of the photo
    landmarks: Float64[np.ndarray, "68 2"]  # (x, y) of pixel centres, dlib's (iBUG's) numbering
    score: float  # the detector's confidence, above 0; well-lit frontal faces have 1 or more

    @property
    def width(self) -> int:
        """The width of the box in pixels, by which faces are sorted."""
        return self.box[2] - self.box[0]


def landmarks_model_path() -> Path:
    """Returns the path of dlib's 68-point landmark model in the installed package `face_recognition_models`.

    The package is located, not imported: importing it needs pkg_resources, which current setuptools lacks.

    Raises:
      FileNotFoundError: the package or its file is not installed.
    """
    spec = find_spec("face_recognition_models")
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    for folder in folders:
        path = Path(folder) / "models" / "shape_predictor_68_face_landmarks.dat"
        if path.is_file():
            return path
    raise FileNotFoundError(
        "finding faces needs the landmark model shape_predictor_68_face_landmarks.dat of the package "
        "face_recognition_models, which is not installed: pip install face_recognition_models==0.3.0"
    )


def find_faces(
    photo: UInt8[np.ndarray, "H W 3"], landmarks_model: Path | None = None, *, thorough: bool = False
) -> tuple[Face, ...]:
    """Finds roughly frontal faces and their landmarks, the largest first.

    dlib's HOG detector looks at the photo reduced to `SCAN_PIXELS`, then at all its pixels, then at the photo enlarged
    2 and 4 times, as far as `ENLARGED_PIXELS` allows, until it finds something; at last at the photo turned.

    Args:
      photo: RGB, values in [0, 255].
      landmarks_model: the file of a 68-point shape predictor of dlib; None takes `landmarks_model_path()`.
      thorough: True looks at every size even if something was found, for the small faces of a group.
    Returns:
      One or more faces, by falling width; equally wide faces are sorted by score, then from left to right.
    Raises:
      NoFaceError: there is no face.
      UserError: dlib is not installed, or the landmark model is damaged.
      FileNotFoundError: the landmark model is missing.
      ValueError: the photo is not uint8 RGB, or the model file is no 68-point shape predictor.
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0 or photo.dtype != np.uint8:
        raise ValueError(f"expected a photo [H, W, 3] of uint8, got {photo.dtype} {list(photo.shape)}")
    predictor = _load_predictor(landmarks_model_path() if landmarks_model is None else Path(landmarks_model))
    detector = import_dlib().get_frontal_face_detector()
    height, width = photo.shape[:2]
    found: list[Face] = []
    tried = []
    for factor in _factors(width * height):
        tried.append(f"{max(1, int(width * factor))}x{max(1, int(height * factor))}")
        for face in _scan(detector, predictor, photo, factor):
            _add(found, face)
        if found and not thorough:
            break
    if not found:
        found = _find_turned(detector, predictor, photo)
    if not found:
        raise NoFaceError(
            f"no face found in the photo of {width}x{height} pixels (looked at {', '.join(tried)}, and turned by "
            f"{', '.join(f'{degrees:g}' for degrees in TURNS)} degrees); expected a roughly frontal face at least "
            f"{math.ceil(MIN_FACE / factor)} pixels wide: crop the photo around the face"
        )
    sure = [face for face in found if face.score >= SURE_SCORE] or found
    levelled = [_levelled(detector, predictor, photo, face) for face in sure]
    return tuple(sorted(levelled, key=lambda face: (-face.width, -face.score, face.box)))


def _factors(pixels: int) -> Iterator[float]:
    """Yields the factors by which the photo is enlarged, in the order of trial."""
    if pixels > SCAN_PIXELS:
        yield math.sqrt(SCAN_PIXELS / pixels)
    yield 1.0
    for factor in (2.0, 4.0):
        if pixels * factor**2 <= ENLARGED_PIXELS:
            yield factor


def _scan(detector, predictor, photo: np.ndarray, factor: float) -> Iterator[Face]:
    height, width = photo.shape[:2]
    if factor < 1:
        size = (max(1, int(width * factor)), max(1, int(height * factor)))
        scanned = np.array(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))
        yield from _detect(detector, predictor, scanned, 0, (0, 0), np.array([width, height]) / size)
        return
    whole = width * height * factor**2 <= SCAN_PIXELS
    side, overlap = (max(width, height), 0) if whole else (int(TILE / factor), int(OVERLAP / factor))
    for top in _starts(height, side, overlap):
        for left in _starts(width, side, overlap):
            tile = np.ascontiguousarray(photo[top : top + side, left : left + side])
            yield from _detect(detector, predictor, tile, round(math.log2(factor)), (left, top), np.ones(2))


def _starts(length: int, side: int, overlap: int) -> Iterator[int]:
    """Yields the places where tiles begin that cover a length and overlap by that much or more."""
    count = max(1, math.ceil((length - overlap) / (side - overlap)))
    for i in range(count):
        yield round(i * max(length - side, 0) / max(count - 1, 1))


def _detect(detector, predictor, scanned, upsampling: int, corner: tuple[int, int], ratio: np.ndarray):
    """Yields the faces of a scanned picture in pixels of the photo.

    Args:
      corner: the scanned picture's corner in the photo.
      ratio: photo pixels per scanned pixel.
    """
    boxes, scores, _ = detector.run(scanned, upsampling, 0.0)
    for box, score in zip(boxes, scores, strict=True):
        points, edges = _landmarks(predictor(scanned, box))
        yield _moved(Face(edges, points, float(score)), np.array(corner), ratio)


def _landmarks(shape) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Returns the points [68, 2] of pixel centres, and the box."""
    if shape.num_parts != 68:
        raise ValueError(f"the landmark model has {shape.num_parts} points; expected dlib's 68-point model")
    box = shape.rect
    edges = (box.left(), box.top(), box.right() + 1, box.bottom() + 1)
    return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64), edges


def _add(found: list[Face], face: Face) -> None:
    """Adds a face unless it is there already, from another size or tile; of two the surer one stays."""
    for index, other in enumerate(found):
        if _overlap(face.box, other.box) > 0.4:
            if face.score > other.score:
                found[index] = face
            return
    found.append(face)


def _overlap(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """Divides the common area of two boxes by the area of the smaller one."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return max(width, 0) * max(height, 0) / max(min(areas), 1)


def _find_turned(detector, predictor, photo: np.ndarray) -> list[Face]:
    """Looks at the photo turned in several ways, and takes the faces of the turn with the surest one."""
    height, width = photo.shape[:2]
    factor = min(1.0, math.sqrt(TURNED_PIXELS / (width * height)))
    size = (max(1, int(width * factor)), max(1, int(height * factor)))
    picture = Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS)
    found = [_detect_turned(detector, predictor, picture, degrees) for degrees in TURNS]
    best = max(found, key=lambda faces: max((face.score for face in faces), default=0))
    return [_moved(face, np.zeros(2), np.array([width, height]) / size) for face in best if face.score >= SURE_SCORE]


def _levelled(detector, predictor, photo: np.ndarray, face: Face) -> Face:
    """Looks at a tilted face again with its eyes level, as only then dlib's landmarks are good to a pixel or two."""
    across = face.landmarks[42:48].mean(axis=0) - face.landmarks[36:42].mean(axis=0)
    tilt = math.degrees(math.atan2(across[1], across[0]))
    if abs(tilt) < TILTED:
        return face
    centre, half = face.landmarks.mean(axis=0), max(1.5 * face.width, 8)
    left, top, right, bottom = np.rint([*(centre - half), *(centre + half)]).astype(int).tolist()
    tile = Image.fromarray(photo[max(top, 0) : max(bottom, 1), max(left, 0) : max(right, 1)])
    corner = np.array([max(left, 0), max(top, 0)])
    factor = LEVEL_SIDE / max(tile.size)
    size = (max(1, round(tile.width * factor)), max(1, round(tile.height * factor)))
    turned = _detect_turned(detector, predictor, tile.resize(size, Image.Resampling.LANCZOS), -tilt)
    seen = [_moved(other, corner, np.divide(tile.size, size)) for other in turned]
    same = [other for other in seen if _overlap(face.box, other.box) > 0.4]
    return max(same, key=lambda other: other.score, default=face)


def _detect_turned(detector, predictor, picture: Image.Image, degrees: float) -> list[Face]:
    """Turns a picture clockwise and returns the faces found there, in pixels of the picture as it was."""
    turned = np.array(picture.rotate(-degrees, Image.Resampling.BICUBIC, expand=True))
    angle = math.radians(degrees)
    back = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])  # for rows (x, y)
    middle, origin = np.array([turned.shape[1], turned.shape[0]]) / 2, np.array(picture.size) / 2
    faces = []
    for face in _detect(detector, predictor, turned, 0, (0, 0), np.ones(2)):
        points = (face.landmarks + 0.5 - middle) @ back + origin - 0.5
        box_centre = (np.reshape(face.box, (2, 2)).mean(axis=0) - middle) @ back + origin
        edges = np.rint([*(box_centre - face.width / 2), *(box_centre + face.width / 2)]).astype(int).tolist()
        faces.append(Face(tuple(edges), points, face.score))
    return faces


def _moved(face: Face, corner: np.ndarray, ratio: np.ndarray) -> Face:
    """Converts a face from pixels of a part of the photo, with that corner, to pixels of the photo."""
    edges = np.rint(np.reshape(face.box, (2, 2)) * ratio + corner).astype(int).ravel().tolist()
    return Face(tuple(edges), (face.landmarks + 0.5) * ratio - 0.5 + corner, face.score)


def import_dlib() -> ModuleType:
    """Imports dlib when it is first needed.

    Raises:
      UserError: dlib is not installed.
    """
    try:
        import dlib
    except ModuleNotFoundError as error:
        raise UserError("finding faces needs dlib, which is not installed: pip install dlib-bin") from error
    return dlib


@lru_cache(maxsize=1)  # reading the large file takes longer than finding a face in a small photo
def _load_predictor(path: Path):
    dlib = import_dlib()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such landmark model; expected a 68-point shape predictor file of dlib")
    # A file with a flipped bit is read without complaint, and puts the eyes anywhere.
    if path.name == "shape_predictor_68_face_landmarks.dat" and (digest := _sha256(path)) != MODEL_SHA256:
        raise UserError(
            f"{path}: the landmark model is damaged (sha256 {digest[:16]}..., expected {MODEL_SHA256[:16]}...): "
            f"{_INSTALL_MODEL}"
        )
    try:
        return dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise UserError(f"{path}: not a shape predictor of dlib ({error}); expected its 68-point model") from error


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
