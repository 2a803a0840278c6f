"""How a JPEG file was compressed: its quantisation tables and subsampling, as a degradation."""

from __future__ import annotations

import os

import numpy as np
from PIL import ExifTags

from jaxgan.degradations import JPEG
from jaxgan.errors import UserError
from jaxgan.photos.opening import open_picture


def read_compression(path: str | os.PathLike[str]) -> JPEG:
    """Reads the compression of a file; the grid of its blocks begins in the upper left corner of its pixels.

    Raises:
      UserError: it is no JPEG file of three channels, its channels share tables or pixels in an unusual way, or it is
        stored rotated, so that the grid of its blocks is elsewhere.
    """
    with open_picture(path) as picture:
        if picture.format not in ("JPEG", "MPO"):
            raise UserError(
                f"{path}: a {picture.format} file; expected a JPEG file, whose tables tell how it was compressed; "
                "what was saved in another format since has lost them."
            )
        found, layers = getattr(picture, "quantization", {}), getattr(picture, "layer", [])
        if picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            raise UserError(f"{path}: it is stored rotated; turn it upright without loss first, e.g. by jpegtran.")
    if len(layers) != 3 or layers[1][3] != layers[2][3] or any(layer[1:3] != (1, 1) for layer in layers[1:]):
        raise UserError(f"{path}: expected YCbCr with one table for both colours, as cameras and editors write it.")
    luminance, chrominance = (np.array(found[layers[i][3]], np.float32).reshape(8, 8) for i in (0, 1))
    across, down = layers[0][1:3]
    if not {across, down} <= {1, 2}:
        raise UserError(f"{path}: {across}x{down} pixels share a colour; expected at most 2x2.")
    return JPEG(luminance, chrominance, np.int32(1), (down, across))
