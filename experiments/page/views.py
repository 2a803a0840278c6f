"""Small pictures of photographs and results for the browser."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.runs import pictures

LARGEST = 1600
"""Pixels of the longer side of a photograph in the browser."""
FACE = 192
"""Pixels of a face in a row of faces."""


def photograph(path: Path, pixels: np.ndarray, size: tuple[int, int] | None = None) -> None:
    """Writes a photograph as it is shown.

    Args:
      path: a JPEG file to write.
      pixels: uint8 `[H, W, 3]`, upright.
      size: of another picture that it is to be laid over; default: its own.
    """
    picture = Image.fromarray(pixels)
    if size is not None and size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    path.parent.mkdir(exist_ok=True)
    picture.save(path, format="JPEG", quality=92)


def hole(path: Path, missing: np.ndarray) -> None:
    """Writes a hole as it is laid over the photograph: opaque where something is missing, else transparent.

    Args:
      path: a PNG file to write.
      missing: bool `[H, W]`.
    """
    alpha = Image.fromarray(np.where(missing, np.uint8(255), np.uint8(0)))
    alpha.thumbnail((LARGEST, LARGEST), Image.Resampling.BOX)
    red = Image.new("RGBA", alpha.size, (226, 42, 70, 255))
    red.putalpha(alpha)
    path.parent.mkdir(exist_ok=True)
    red.save(path)


def row(faces: Sequence[np.ndarray]) -> np.ndarray:
    """Puts faces side by side, uint8 `[N, N, 3]` each."""
    return pictures.sheet([("", pictures.thumbnail(face, FACE)) for face in faces], columns=len(faces))


def png(picture: np.ndarray) -> bytes:
    """Encodes a picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()


def inline(file: bytes) -> str:
    """The address of a PNG file that is its content, so that no file is left on the disk."""
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"
