"""FFHQ alignment: find faces with dlib, then cut out the square that StyleGAN2's face networks were trained on.

References: Karras, Laine, Aila, A Style-Based Generator Architecture for Generative Adversarial Networks, 2019,
appendix A (arXiv 1812.04948); Kazemi, Sullivan, One Millisecond Face Alignment with an Ensemble of Regression Trees,
2014. Where the papers leave numbers open they are those that reproduce tests/reference/align_reference.npz.
"""

import math
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8
from PIL import Image
from scipy import ndimage

from jaxgan.errors import UserError

SCAN_PIXELS = 8_000_000  # the most that the detector is shown, enlarged or reduced; about 1 s and 60 MB measured
MIN_FACE = 80  # side in pixels of dlib's detection window: smaller faces are not found


class NoFaceError(UserError):
    """No face was found in a photo; the message says what was tried."""


class Face(NamedTuple):
    """A face found in a photo, in pixels of the photo."""

    box: tuple[int, int, int, int]  # left, top, right, bottom (the last two exclusive); may reach out of the photo
    landmarks: Float64[np.ndarray, "68 2"]  # (x, y) of pixel centres, dlib's (iBUG's) numbering
    score: float  # the detector's confidence, above 0; well-lit frontal faces have 1 or more


class AlignmentQuad(NamedTuple):
    """The square to cut out of a photo, turned with the face; pixels of the photo, (x, y)."""

    c: Float64[np.ndarray, "2"]  # centre
    x: Float64[np.ndarray, "2"]  # half a side, from the centre to the right
    y: Float64[np.ndarray, "2"]  # half a side, from the centre downwards
    quad: Float64[np.ndarray, "4 2"]  # corners c-x-y, c-x+y, c+x+y, c+x-y
    qsize: float  # side, 2 |x|


class AlignmentPlan(NamedTuple):
    """Everything that `align` does before it samples, in order; boxes are (left, top, right, bottom)."""

    shrink: int  # the photo is reduced if this is above 1
    shrunk_size: tuple[int, int]  # (width, height)
    quad_after_shrink: Float64[np.ndarray, "4 2"]
    qsize_after_shrink: float
    border: int  # kept around the quad
    crop: tuple[int, int, int, int]  # of the reduced photo
    quad_after_crop: Float64[np.ndarray, "4 2"]
    pad_initial: tuple[int, int, int, int]  # by how much quad and border reach out of the crop
    pad: tuple[int, int, int, int]  # pixels to add on each side; zeros where nothing is padded
    quad_final: Float64[np.ndarray, "4 2"]  # in the cropped and padded photo


def landmarks_model_path() -> Path:
    """Path of dlib's 68-point landmark model in the installed package `face_recognition_models`.

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


def find_faces(photo: UInt8[np.ndarray, "H W 3"], landmarks_model: Path | None = None) -> tuple[Face, ...]:
    """Finds upright, roughly frontal faces and their landmarks, the largest first.

    dlib's HOG detector looks at the photo as it is, then enlarged 2 and 4 times (as far as `SCAN_PIXELS` allows),
    until it finds something. A photo above `SCAN_PIXELS` is reduced for both detection and landmarks.

    Args:
      photo: RGB, values in [0, 255].
      landmarks_model: a 68-point shape predictor of dlib; default `landmarks_model_path()`.
    Returns:
      One or more faces.
    Raises:
      NoFaceError: there is none.
      UserError: dlib is not installed.
      FileNotFoundError: the landmark model is missing.
      ValueError: the photo is not uint8 RGB, or the model file is no 68-point shape predictor.
    """
    _check_photo(photo)
    dlib = _import_dlib()
    predictor = _load_predictor(landmarks_model_path() if landmarks_model is None else Path(landmarks_model))
    detector = dlib.get_frontal_face_detector()
    height, width = photo.shape[:2]
    factor = max(1.0, math.sqrt(height * width / SCAN_PIXELS))
    scanned_size = (max(1, int(width / factor)), max(1, int(height / factor)))
    scanned = _reduced(photo, scanned_size) if factor > 1 else np.ascontiguousarray(photo)
    ratio = np.array([width, height]) / scanned_size  # photo pixels per scanned pixel, along x and y
    tried = []
    for upsampling in (0, 1, 2):
        if upsampling and scanned_size[0] * scanned_size[1] * 4**upsampling > SCAN_PIXELS:
            break
        tried.append(f"{scanned_size[0] * 2**upsampling}x{scanned_size[1] * 2**upsampling}")
        boxes, scores, _ = detector.run(scanned, upsampling, 0.0)
        if len(boxes):
            faces = [_face(predictor(scanned, box), score, ratio) for box, score in zip(boxes, scores, strict=True)]
            return tuple(sorted(faces, key=lambda face: (face.box[2] - face.box[0], face.score), reverse=True))
    smallest = math.ceil(MIN_FACE * factor / 2 ** (len(tried) - 1))
    raise NoFaceError(
        f"no face found in the photo of {width}x{height} pixels (looked at {', '.join(tried)}); expected an upright, "
        f"roughly frontal face at least {smallest} pixels wide: turn the photo upright, or crop it around the face"
    )


def alignment_quad(landmarks: Float[np.ndarray, "68 2"], *, scale: float = 1.0) -> AlignmentQuad:
    """The FFHQ square of a face from its landmarks.

    Args:
      landmarks: (x, y) in pixels, dlib's numbering.
      scale: enlarges the square about its centre; 1 is FFHQ, 0.74 the demo network.
    Raises:
      ValueError: landmarks of another shape, not finite, or without extent; `scale` not a positive number.
    """
    landmarks = np.asarray(landmarks, dtype=np.float64)
    if landmarks.shape != (68, 2):
        raise ValueError(f"landmarks have shape {landmarks.shape}; expected (68, 2): x and y of dlib's 68 points")
    if not np.isfinite(landmarks).all():
        bad = np.flatnonzero(~np.isfinite(landmarks).all(axis=1)).tolist()
        raise ValueError(f"landmarks {bad} are not finite; expected pixel coordinates: find the face again")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale is {scale}; expected a positive number (1 for FFHQ, 0.74 for the demo network)")
    eye_left, eye_right = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    eye_avg = (eye_left + eye_right) / 2
    eye_to_eye = eye_right - eye_left
    eye_to_mouth = (landmarks[48] + landmarks[54]) / 2 - eye_avg
    x = eye_to_eye - eye_to_mouth[::-1] * [-1, 1]
    extent = np.hypot(*eye_to_eye) + np.hypot(*eye_to_mouth)
    if extent == 0 or np.hypot(*x) < 1e-6 * extent:
        raise ValueError(
            f"landmarks span no face: eye to eye {eye_to_eye.tolist()}, eyes to mouth {eye_to_mouth.tolist()}; "
            "expected dlib's 68 points (36-41 the eye on the left of the picture, 48-67 the mouth): find the face again"
        )
    x = x / np.hypot(*x) * max(2.0 * np.hypot(*eye_to_eye), 1.8 * np.hypot(*eye_to_mouth)) * scale
    y = x[::-1] * [-1, 1]
    c = eye_avg + 0.1 * eye_to_mouth
    return AlignmentQuad(c, x, y, np.stack([c - x - y, c - x + y, c + x + y, c + x - y]), float(2 * np.hypot(*x)))


def plan_alignment(quad: AlignmentQuad, photo_size: tuple[int, int], size: int) -> AlignmentPlan:
    """How to shrink, crop and pad a photo so that little more than the quad is left.

    Args:
      quad: in pixels of the photo.
      photo_size: (width, height).
      size: side of the aligned image.
    Raises:
      ValueError: `size` below 1; the quad is under 4 pixels wide, or lies outside the photo.
    """
    if size < 1:
        raise ValueError(f"size is {size}; expected a number of pixels, 1 or more")
    if quad.qsize < 4:  # the padding below, 0.3 of it, needs a pixel
        raise ValueError(f"the face is {quad.qsize:.3g} pixels wide; expected at least 4: check the landmarks")
    low, high = quad.quad.min(axis=0), quad.quad.max(axis=0)
    if (high <= 0).any() or (low >= photo_size).any():
        raise ValueError(
            f"the face at x, y = {quad.c.round(1).tolist()} lies outside the photo of {photo_size[0]}x{photo_size[1]} "
            "pixels; expected landmarks in pixels of this photo: find the face in this copy of it"
        )
    shrink = math.floor(quad.qsize / size / 2)
    divisor = max(shrink, 1)
    width, height = (max(1, int(np.rint(side / divisor))) for side in photo_size)
    corners, qsize = quad.quad / divisor, quad.qsize / divisor
    border = max(int(np.rint(0.1 * qsize)), 3)

    left, top = np.floor(corners.min(axis=0)).astype(int) - border
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + border
    crop = (int(max(left, 0)), int(max(top, 0)), int(min(right, width)), int(min(bottom, height)))
    pad_initial = (int(max(-left, 0)), int(max(-top, 0)), int(max(right - width, 0)), int(max(bottom - height, 0)))
    # A quad that stays 4 pixels inside the photo needs no padding, even if its border does not fit. The 4 is the
    # published recipe's; the reference cases only show that it is at most 6.
    if max(pad_initial) > border - 4:
        pad = tuple(max(amount, int(np.rint(0.3 * qsize))) for amount in pad_initial)
    else:
        pad = (0, 0, 0, 0)
    cropped = corners - crop[:2]
    return AlignmentPlan(
        shrink, (width, height), corners, qsize, border, crop, cropped, pad_initial, pad, cropped + pad[:2]
    )


def align(
    photo: UInt8[np.ndarray, "H W 3"],
    landmarks: Float[np.ndarray, "68 2"],
    size: int,
    *,
    scale: float = 1.0,
    supersampling: int = 4,
) -> UInt8[np.ndarray, "size size 3"]:
    """Cuts the FFHQ square of a face out of a photo, upright and centred.

    Args:
      photo: RGB, values in [0, 255].
      landmarks: (x, y) in pixels of the photo, dlib's numbering.
      size: side of the result.
      scale: enlarges the square about its centre; 1 is FFHQ, 0.74 the demo network.
      supersampling: bilinear samples per pixel of the result along each axis, reduced by Lanczos; FFHQ has 4.
        The demo network's images were reduced by block means: images.resize(align(..., 128, supersampling=1), 64).
    Returns:
      The aligned image; parts outside the photo are its blurred reflection.
    Raises:
      ValueError: as for `alignment_quad` and `plan_alignment`; the photo is not uint8 RGB; `supersampling` below 1.
    """
    _check_photo(photo)
    if supersampling < 1:
        raise ValueError(f"supersampling is {supersampling}; expected 1 or more (FFHQ: 4)")
    plan = plan_alignment(alignment_quad(landmarks, scale=scale), (photo.shape[1], photo.shape[0]), size)
    if plan.shrink > 1:
        photo = _reduced(photo, plan.shrunk_size)
    left, top, right, bottom = plan.crop
    photo = photo[top:bottom, left:right]
    if any(plan.pad):
        photo = _pad(photo, plan.pad, plan.qsize_after_shrink)
    samples = (size * supersampling, size * supersampling)
    corners = (plan.quad_final + 0.5).ravel().tolist()  # landmarks count from pixel centres, Pillow from pixel corners
    sampled = Image.fromarray(photo).transform(samples, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return np.array(sampled.resize((size, size), Image.Resampling.LANCZOS))


def _pad(photo: UInt8[np.ndarray, "h w 3"], pad: tuple[int, int, int, int], qsize: float) -> UInt8[np.ndarray, "H W 3"]:
    """Reflects the photo outwards, fading from blur (at its edge) to the median colour (at the outermost pixel)."""
    left, top, right, bottom = pad
    padded = np.pad(photo, ((top, bottom), (left, right), (0, 0)), mode="reflect")  # [H, W, 3]
    height, width = padded.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    # 0 at the photo's edge, 1 at the outermost pixel, negative inside.
    outwards = np.maximum(
        1 - np.minimum(x / left, (width - 1 - x) / right), 1 - np.minimum(y / top, (height - 1 - y) / bottom)
    )
    for channel in range(3):  # one at a time: as float32 the largest photo takes 1 GB
        values = padded[..., channel].astype(np.float32)
        values += (_blur(values, 0.02 * qsize) - values) * np.clip(3 * outwards + 1, 0, 1)
        values += (np.median(values) - values) * np.clip(outwards, 0, 1)
        padded[..., channel] = np.clip(np.rint(values), 0, 255)
    return padded


def _blur(values: Float32[np.ndarray, "H W"], sigma: float) -> Float32[np.ndarray, "H W"]:
    """Gaussian blur; a wide one on a reduced copy, where sigma is 8 to 12 (at size 1024: 10 s, not 60)."""
    step = int(sigma // 8)
    if step < 2:
        return ndimage.gaussian_filter(values, sigma)
    height, width = values.shape
    small = np.asarray(Image.fromarray(values).reduce(step))
    blurred = Image.fromarray(ndimage.gaussian_filter(small, sigma / step))
    covered = (0, 0, width / step, height / step)  # the last row and column of blocks may be partial
    return np.asarray(blurred.resize((width, height), Image.Resampling.BILINEAR, box=covered))


def _check_photo(photo: np.ndarray) -> None:
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0 or photo.dtype != np.uint8:
        raise ValueError(f"expected a photo [H, W, 3] of uint8, got {photo.dtype} {list(photo.shape)}")


def _reduced(photo: UInt8[np.ndarray, "H W 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    return np.array(Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS))


def _import_dlib() -> ModuleType:
    try:
        import dlib
    except ModuleNotFoundError as error:
        raise UserError("finding faces needs dlib, which is not installed: pip install dlib-bin") from error
    return dlib


@lru_cache(maxsize=1)  # reading the 100 MB takes 0.9 s, the rest of find_faces 0.1 s on a small photo
def _load_predictor(path: Path):
    dlib = _import_dlib()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such landmark model; expected a 68-point shape predictor file of dlib")
    try:
        return dlib.shape_predictor(str(path))
    except RuntimeError as error:
        raise ValueError(f"{path}: not a shape predictor of dlib ({error}); expected its 68-point model") from error


def _face(shape, score: float, ratio: np.ndarray) -> Face:
    if shape.num_parts != 68:
        raise ValueError(f"the landmark model has {shape.num_parts} points; expected dlib's 68-point model")
    points = np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)
    box = shape.rect
    edges = np.array([[box.left(), box.top()], [box.right() + 1, box.bottom() + 1]]) * ratio
    left, top, right, bottom = np.rint(edges).astype(int).ravel().tolist()
    return Face((left, top, right, bottom), (points + 0.5) * ratio - 0.5, float(score))
