"""Compares the faces of two pictures by dlib's descriptor, to tell whether they show the same person.

References:
  King, dlib's ResNet face descriptor (README of the model files, 2017): two faces whose descriptors are less than 0.6
  apart are taken for the same person, right for 99.38 % of the pairs of Labeled Faces in the Wild.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from jaxgan.errors import UserError
from jaxgan.photos import faces

SMALLEST_SIDE = 256  # smaller pictures are enlarged, because dlib rounds landmarks to whole pixels
NAME = "dlib_face_recognition_resnet_model_v1.dat"


def descriptor(image: UInt8[np.ndarray, "H W 3"]) -> Float64[np.ndarray, "128"] | None:
    """Describes the largest face of a picture.

    Args:
      image: RGB, values in [0, 255].
    Returns:
      A vector of about unit length; None if no face is found.
    Raises:
      FileNotFoundError: the package `face_recognition_models` is not installed.
      UserError: dlib is not installed, or a model is damaged.
    """
    height, width = image.shape[:2]
    if (factor := SMALLEST_SIDE / min(height, width)) > 1:
        size = (round(width * factor), round(height * factor))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    try:
        found = faces.find_faces(image)[0]
    except faces.NoFaceError:
        return None
    dlib = faces.import_dlib()
    left, top, right, bottom = found.box
    points = dlib.points([dlib.point(round(float(x)), round(float(y))) for x, y in found.landmarks])
    shape = dlib.full_object_detection(dlib.rectangle(left, top, right - 1, bottom - 1), points)
    return np.array(_model().compute_face_descriptor(np.ascontiguousarray(image), shape))


def distance(a: Float64[np.ndarray, "128"], b: Float64[np.ndarray, "128"]) -> float:
    """Measures how unlike two faces are.

    Args:
      a, b: the descriptors of two faces, see `descriptor`.
    Returns:
      The Euclidean distance: 0 for the same picture, less than 0.6 for pictures of one person.
    """
    return float(np.linalg.norm(a - b))


@lru_cache(maxsize=1)
def _model():
    spec = find_spec("face_recognition_models")
    for folder in spec.submodule_search_locations or [] if spec else []:
        path = Path(folder) / "models" / NAME
        if path.is_file():
            try:
                return faces.import_dlib().face_recognition_model_v1(str(path))
            except RuntimeError as error:
                raise UserError(f"{path} is no face descriptor of dlib: {error}") from None
    raise FileNotFoundError(f"comparing identities needs {NAME}: pip install face_recognition_models==0.3.0")
