"""Reads masks: white where a photograph is kept, black where it is to be filled in."""

from __future__ import annotations

import os

import numpy as np
from jaxtyping import Float32

from jaxgan.errors import ImageError
from jaxgan.photos.photo_files import read_photo

MOST = 0.75
"""A mask that hides a larger share than this was more likely drawn the other way round than meant."""


def read_mask(path: str | os.PathLike[str], *, invert: bool | None = None) -> Float32[np.ndarray, "H W"]:
    """Reads an inpainting mask.

    Args:
      path: an image file, see `photo_files.read`. Its luminance is cut at half, and transparent parts count as white.
      invert: False takes white for observed, and True takes white for missing. None takes white for observed, too, but
        refuses a mask that looks as if it were meant the other way round.
    Returns:
      1 where the pixel is observed, 0 where it is missing.
    Raises:
      ImageError: the file cannot be read, nothing is observed, or more than `MOST` is hidden with `invert=None`.
    """
    white = read_photo(path).mean(axis=-1, dtype=np.float32) >= 127.5
    observed = ~white if invert else white
    if not observed.any():
        colour = "white" if invert else "black"
        raise ImageError(
            f"{path}: the mask is {colour} everywhere, so nothing of the photo is observed; expected "
            + ("black = keep, white = fill in" if invert else "white = keep, black = fill in")
            + ": invert it, or paint the part to keep"
        )
    if invert is None and (hidden := 1 - observed.mean()) > MOST:
        raise ImageError(
            f"{path}: the mask hides {hidden:.0%} of the picture; expected white = keep, black = fill in: "
            "if it is meant the other way round, invert it (--invert-mask); if it is right, say so (--trust-mask)"
        )
    return observed.astype(np.float32)
