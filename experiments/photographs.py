"""From a photograph on disk to the square face crop a generator expects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxgan import alignment, faces, images
from jaxgan.errors import UserError
from jaxgan.generator import GeneratorConfig


def load_target(
    path: Path, generator: GeneratorConfig, *, already_aligned: bool, face: int | None, say: Callable[[str], None]
) -> np.ndarray:
    """Reads a photograph and aligns a face of it.

    Args:
      path: any picture Pillow reads.
      generator: its resolution and alignment scale are used.
      already_aligned: the picture is the crop itself, and is only resized.
      face: index of the face, 0 the largest; None takes the largest and says so where there are several.
      say: called with a line for the user.
    Returns:
      uint8 `[resolution, resolution, 3]`.
    Raises:
      UserError: no such face, or a picture that cannot be used.
    """
    photo = images.read_photo(path)
    if already_aligned:
        height, width = photo.shape[:2]
        if height != width:
            raise UserError(
                f"{path} is {width}x{height}; --already-aligned expects a square face crop. "
                "Crop it, or leave the flag out to have the face found and aligned."
            )
        return images.resize(photo, generator.resolution)
    try:
        found = faces.find_faces(photo)
    except faces.NoFaceError as error:
        raise UserError(f"{path}: {error} If it is a face crop already, add --already-aligned.") from None
    if face is not None and not 0 <= face < len(found):
        raise UserError(f"{path}: there is no face {face}; found {len(found)}, numbered from 0 (largest first).")
    if face is None and len(found) > 1:
        say(f"{path}: {len(found)} faces found, taking the largest; --face N picks another (0 to {len(found) - 1}).")
    chosen = found[face or 0]
    return alignment.align(photo, chosen.landmarks, generator.resolution, scale=generator.alignment_scale)
