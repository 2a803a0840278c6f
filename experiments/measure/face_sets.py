"""Sets of faces to measure on: samples of the network itself, an .npz file, or a folder of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from experiments.cli import say
from experiments.options import FaceChoice
from experiments.restore import crops, jobs
from jaxgan import images, latents, precision
from jaxgan.errors import UserError
from jaxgan.generator import Generator, as_rgb
from jaxgan.generator_config import GeneratorConfig
from jaxgan.photos import photo_files

SAMPLES = "samples:"
"""Begins a source that stands for samples of the network itself, as in `samples:8`."""
PSI = 0.8
"""The samples are truncated by this factor towards the mean latent."""
SEED = 20_000
"""Other samples than those that the inversion begins from."""


class FaceSet(NamedTuple):
    """Aligned faces.

    Attributes:
      names: one per face.
      faces: float32 `[n, resolution, resolution, 3]` in [-1, 1].
    """

    names: tuple[str, ...]
    faces: Float[np.ndarray, "n h w 3"]


def load(source: str, generator: Generator, *, count: int | None, already_aligned: bool = False) -> FaceSet:
    """Loads faces at the resolution of a generator.

    Args:
      source: `samples:N` for N samples of the network itself, an .npz file whose `images` is uint8
        `[N, size, size, 3]`, a photograph, or a folder or pattern of them.
      generator: its resolution and alignment are used, and it makes the samples.
      count: the first so many; None for all.
      already_aligned: photographs are square face crops; by default the largest face of each is found and aligned.
    Raises:
      UserError: there are no such faces, or fewer than `count`.
    """
    if source.startswith(SAMPLES):
        faces = _samples(generator, source, count)
        return FaceSet(tuple(f"sample-{index}" for index in range(len(faces))), faces)
    path = Path(source)
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
        faces = [images.resize(picture, generator.config.resolution) for picture in chosen]
    else:
        faces = [_largest_face(path, generator.config, already_aligned) for path in chosen]
    return FaceSet(tuple(names[: len(faces)]), np.stack([images.to_float(face) for face in faces]))


def _samples(generator: Generator, source: str, count: int | None) -> Float[np.ndarray, "n h w 3"]:
    """Samples rounded to 8 bits, as pictures in files are."""
    number = source.removeprefix(SAMPLES)
    if not number.isdecimal() or int(number) < 1:
        raise UserError(f"--images is {source}; expected {SAMPLES}N with a number of 1 or more.")
    if count is not None and not 1 <= count <= int(number):
        raise UserError(f"--count is {count}; {source} are {number} images.")
    ws = latents.mapped_samples(generator, samples=int(number) if count is None else count, seed=SEED)
    w_avg = generator.mapping.w_avg[...]
    ws = w_avg[None, :] + PSI * (ws - w_avg[None, :])
    return np.stack([images.to_float(images.to_uint8(np.asarray(_render(generator, w)))) for w in ws])


@jax.jit
def _render(generator: Generator, w: Float[Array, " w_dim"]) -> Float[Array, "h w 3"]:
    with precision.products("float32"):
        return as_rgb(generator.synthesis(latents.broadcast(w, num_ws=generator.config.num_ws)))


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
