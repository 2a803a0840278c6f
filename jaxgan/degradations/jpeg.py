"""JPEG: blocks of 8x8 cosines, whose coefficients are rounded.

References:
  ITU-T T.81, "Digital Compression and Coding of Continuous-Tone Still Images", 1992, Annexes A and K (the transform,
  the tables); Shin & Song, "JPEG-resistant Adversarial Images", 2017, NIPS Workshop on Machine Learning and Computer
  Security (rounding with a gradient).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan.degradations.protocol import CompleteObservation, pytree
from jaxgan.degradations.reduction import from_corner, to_corner

BLOCK = 8
TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])
"""From RGB to luminance and two differences of colour, rows by columns (JFIF 1.02); 128 is added to the latter."""

_LUMINANCE = (
    "16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56 14 17 22 29 51 87 80 62 "
    "18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92 49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99"
)  # T.81, table K.1
_CHROMINANCE = (
    "17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99 47 66 99 99 99 99 99 99" + " 99" * 32
)  # table K.2

_REDUCED = {1: (0.5, 0.5), 2: (0.0, 0.5), 4: (0.25, 0.5)}
_ENLARGED = {1: (0.5, 0.5), 2: (0.25, 0.5), 4: (0.5, 7 / 16)}
"""Halves are rounded up and down in turn where libjpeg reduces and enlarges colours, by the pixels that share one."""


def tables(quality: int) -> tuple[Float[np.ndarray, "8 8"], Float[np.ndarray, "8 8"]]:
    """The quantisation tables of a quality from 1 to 100, as libjpeg and Pillow scale them.

    Returns:
      The steps of luminance and of chrominance, by vertical and horizontal frequency.
    Raises:
      ValueError: no such quality.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality}; expected a whole number from 1 to 100")
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    standard = (np.array(text.split(), int).reshape(BLOCK, BLOCK) for text in (_LUMINANCE, _CHROMINANCE))
    luminance, chrominance = (np.clip((steps * percent + 50) // 100, 1, 255) for steps in standard)
    return luminance.astype(np.float32), chrominance.astype(np.float32)


@pytree
@dataclasses.dataclass(frozen=True)
class JPEG(CompleteObservation):
    """Compresses an image and decodes it again (task `dejpeg`).

    Values are rounded where a file has whole numbers; these roundings let the gradient pass, and that of coefficients
    is `.8 + .2 d/dx [round(x) + (x - round(x))^3]`. Where values are clipped, the gradient passes unless a step against
    it would lead further out of the range: an optimiser would drive pixels away without an effect on the file.

    Attributes:
      luminance, chrominance: steps by which coefficients are rounded, `[8, 8]` each (see `tables`).
      factor: side of a tile that is one pixel of the compressed picture, see `Pooling`; 1 for the image itself, `[]`.
      subsampling: pixels, down and across, that share their colour: (2, 2) for "4:2:0", Pillow's default.
    """

    luminance: Any
    chrominance: Any
    factor: Any = 1
    subsampling: tuple[int, int] = dataclasses.field(default=(2, 2), metadata={"static": True})

    @classmethod
    def of_quality(cls, quality: int, *, factor: int = 1, subsampling: tuple[int, int] = (2, 2)) -> JPEG:
        """The compression of Pillow and libjpeg.

        Args:
          quality: from 1 to 100.
          factor, subsampling: see the attributes.
        Raises:
          ValueError: no such quality.
        """
        luminance, chrominance = tables(quality)
        return cls(jnp.asarray(luminance), jnp.asarray(chrominance), jnp.int32(factor), subsampling)

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        small = to_corner(image, self.factor)
        planes = to_planes(_whole(127.5 * (small + 1)), self.subsampling)
        steps = (self.luminance, self.chrominance, self.chrominance)
        coded = [_coded(plane, step) for plane, step in zip(planes, steps, strict=True)]
        decoded = _whole(from_planes(coded, self.subsampling)[: image.shape[0], : image.shape[1]])
        return from_corner(decoded / 127.5 - 1, self.factor)


def to_planes(levels: Float[Array, "h w 3"], subsampling: tuple[int, int]) -> list[Float[Array, "_ _"]]:
    """Luminance and the two reduced differences of colour of an image in [0, 255], padded to whole blocks."""
    units = [BLOCK * pixels for pixels in subsampling]
    padding = [(0, -size % unit) for size, unit in zip(levels.shape[:2], units, strict=True)]
    padded = jnp.pad(levels, [*padding, (0, 0)], mode="edge")
    ycbcr = jnp.einsum("hwc,dc->hwd", padded, TO_YCBCR, precision="highest")
    luminance, *colours = jnp.moveaxis(_whole(ycbcr + jnp.asarray([0.0, 128.0, 128.0])[None, None, :]), -1, 0)
    down, across = subsampling
    height, width = luminance.shape
    tiles = (colour.reshape(height // down, down, width // across, across) for colour in colours)
    return [luminance, *(_whole(jnp.mean(tile, (1, 3)), half=_REDUCED[down * across]) for tile in tiles)]


def from_planes(planes: Sequence[Float[Array, "_ _"]], subsampling: tuple[int, int]) -> Float[Array, "h w 3"]:
    """The image of planes, whose colours are enlarged as libjpeg does: linearly between the centres of pixels."""
    luminance, *colours = planes
    rows, columns = (enlargement(size, pixels) for size, pixels in zip(colours[0].shape, subsampling, strict=True))
    enlarged = (jnp.einsum("yh,xw,hw->yx", rows, columns, plane, precision="highest") for plane in colours)
    colours = [_whole(plane, half=_ENLARGED[subsampling[0] * subsampling[1]]) for plane in enlarged]
    ycbcr = jnp.stack([luminance, *(colour - 128 for colour in colours)], -1)
    return jnp.einsum("hwc,dc->hwd", ycbcr, np.linalg.inv(TO_YCBCR), precision="highest")


def enlargement(size: int, factor: int) -> Float[np.ndarray, "_ size"]:
    """The matrix that enlarges a row by 1 or 2: by 2, each new pixel is 3/4 of its own and 1/4 of the nearer one."""
    if factor == 1:
        return np.eye(size, dtype=np.float32)
    matrix = np.zeros((2 * size, size), np.float32)
    for pixel in range(2 * size):
        own = pixel // 2
        matrix[pixel, own] += 0.75
        matrix[pixel, np.clip(own + (1 if pixel % 2 else -1), 0, size - 1)] += 0.25
    return matrix


def cosines() -> Float[np.ndarray, "8 8"]:
    """The orthonormal DCT-II of eight numbers, a row per frequency."""
    frequency, place = np.mgrid[:BLOCK, :BLOCK]
    matrix = np.cos(np.pi * frequency * (place + 0.5) / BLOCK) / 2
    matrix[0] /= np.sqrt(2)
    return matrix


def _coded(plane: Float[Array, "h w"], steps: Float[Array, "8 8"]) -> Float[Array, "h w"]:
    """A plane whose coefficients are rounded to multiples of their steps."""
    height, width = plane.shape
    blocks = (plane - 128).reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    transform = cosines()
    coefficients = jnp.einsum("ui,vj,aibj->aubv", transform, transform, blocks, precision="highest")
    coefficients = _rounded(coefficients / steps[None, :, None, :]) * steps[None, :, None, :]
    blocks = jnp.einsum("ui,vj,aubv->aibj", transform, transform, coefficients, precision="highest")
    return _whole(blocks.reshape(height, width) + 128)


def _rounded(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Rounds, halves away from zero, with the gradient that `JPEG` states."""
    whole = jax.lax.stop_gradient(jnp.sign(x) * jnp.floor(jnp.abs(x) + 0.5))
    smooth = 0.8 * x + 0.2 * (whole + (x - whole) ** 3)
    return smooth + jax.lax.stop_gradient(whole - smooth)


def _whole(levels: Float[Array, "h w *c"], *, half: tuple[float, float] = (0.5, 0.5)) -> Float[Array, "h w *c"]:
    """Rounds to whole numbers from 0 to 255; the gradient passes as `JPEG` states.

    Args:
      levels: about that range.
      half: what is added before the fraction is cut off, in even and in odd columns.
    """
    levels = _within_range(levels)
    columns = jnp.tile(jnp.asarray(half), levels.shape[1] // 2 + 1)[: levels.shape[1]]
    added = columns.reshape(1, -1, *(1 for _ in levels.shape[2:]))
    return levels + jax.lax.stop_gradient(jnp.floor(levels + added) - levels)


@jax.custom_vjp
def _within_range(levels: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Clips to [0, 255] with the gradient that `JPEG` states."""
    return jnp.clip(levels, 0.0, 255.0)


def _within_range_backwards(
    levels: Float[Array, "*shape"], gradient: Float[Array, "*shape"]
) -> tuple[Float[Array, "*shape"]]:
    leads_out = ((levels < 0) & (gradient > 0)) | ((levels > 255) & (gradient < 0))
    return (jnp.where(leads_out, 0.0, gradient),)


_within_range.defvjp(lambda levels: (_within_range(levels), levels), _within_range_backwards)
