"""Sets of faces to measure on: the shipped held-out ones, an .npz file, or a folder of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.cli import say
from experiments.options import FaceChoice
from experiments.restore import crops, jobs
from jaxgan import images
from jaxgan.errors import UserError
from jaxgan.generator_config import GeneratorConfig
from jaxgan.photos import photo_files

DATA = Path(images.__file__).parent / "data"
SHIPPED = {"heldout": DATA / "heldout.npz", "development": DATA / "development.npz"}
"""Synthetic faces the embedded network never saw: 16 to report on, 8 others to choose settings on."""


class FaceSet(NamedTuple):
    """Aligned faces.

    Attributes:
      names: one per face.
      faces: float32 `[n, resolution, resolution, 3]` in [-1, 1].
    """

    names: tuple[str, ...]
    faces: Float[np.ndarray, "n h w 3"]


def load(source: str, generator: GeneratorConfig, *, count: int | None, already_aligned: bool = False) -> FaceSet:
    """Loads faces at the resolution of a generator.

    Args:
      source: `heldout`, `development`, an .npz file whose `images` is uint8 `[N, size, size, 3]`, a photograph, or a
        folder or pattern of them.
      generator: its resolution and alignment are used.
      count: the first so many; None for all.
      already_aligned: photographs are square face crops; by default the largest face of each is found and aligned.
    Raises:
      UserError: there are no such faces, or fewer than `count`.
    """
    path = SHIPPED.get(source, Path(source))
    if path.suffix == ".npz":
        pictures = _read_npz(path)
        names = [f"{path.stem}-{index}" for index in range(len(pictures))]
    else:
        paths = jobs.find([path])
        names = [path.stem for path in paths]
        pictures = paths
    if count is not None and not 1 <= count <= len(pictures):
        raise UserError(f"--count is {count}; {source} holds {len(pictures)} images.")
    chosen = pictures[: len(pictures) if count is None else count]
    if path.suffix == ".npz":
        faces = [images.resize(picture, generator.resolution) for picture in chosen]
    else:
        faces = [_largest_face(path, generator, already_aligned) for path in chosen]
    return FaceSet(tuple(names[: len(faces)]), np.stack([images.to_float(face) for face in faces]))


def _largest_face(path: Path, generator: GeneratorConfig, already_aligned: bool) -> np.ndarray:
    photo = photo_files.read_photo(path)
    return crops.cut(photo, path, FaceChoice(), generator, already_aligned=already_aligned, say=say)[0].pixels


def _read_npz(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = file["images"]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path} is no .npz with an array `images`: {error}") from None
    if found.ndim != 4 or found.dtype != np.uint8 or found.shape[1] != found.shape[2] or found.shape[3] != 3:
        raise UserError(f"{path}: images are {found.dtype} {found.shape}; expected uint8 (N, size, size, 3).")
    return found
