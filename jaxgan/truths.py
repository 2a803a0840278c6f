"""Damages as they really happen to a photograph, by Pillow and NumPy, and the degradation to assume after each.

The two differ on purpose. A truth maps pixels of 8 bits to pixels of 8 bits, may leave a smaller picture, and draws its
random numbers from a seed, so that every damage can be repeated. The degradation keeps the shape, and JAX can
differentiate it.

References:
  Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, Section 4, arXiv 2302.06733.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from jaxgan import images
from jaxgan.degradations import (
    JPEG,
    Compose,
    Degradation,
    Denoising,
    Dimming,
    Identity,
    Mask,
    Pooling,
    ShotNoise,
    degrade,
    parts_of,
)

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)

Pixels = UInt8[np.ndarray, "_ _ 3"]


@runtime_checkable
class Truth(Protocol):
    """A damage of pixels."""

    def __call__(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        """Damages a picture; all that is random comes from the generator."""


@dataclasses.dataclass(frozen=True)
class Exactly:
    """A damage that is the degradation itself.

    Attributes:
      degradation: is applied at the size that the picture has.
    """

    degradation: Degradation

    def __call__(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        return images.to_uint8(np.asarray(degrade(self.degradation, jnp.asarray(images.to_float(pixels)))))


@dataclasses.dataclass(frozen=True)
class Hole:
    """Pixels are missing.

    Attributes:
      mask: `[H, W]`, 1 where a pixel is observed; a smaller picture misses a pixel if any of its tile is missing.
    """

    mask: np.ndarray

    def __call__(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        return Exactly(Mask(jnp.asarray(_smallest(self.mask, pixels.shape))))(pixels, generator)


@dataclasses.dataclass(frozen=True)
class Reduction:
    """The picture gets smaller, by one of Pillow's filters that is drawn for it.

    Attributes:
      factor: divides the sides.
    """

    factor: int

    def __call__(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        height, width = pixels.shape[:2]
        chosen = FILTERS[generator.integers(len(FILTERS))]
        return np.array(Image.fromarray(pixels).resize((width // self.factor, height // self.factor), chosen))


@dataclasses.dataclass(frozen=True)
class PoissonNoise:
    """Few photons arrive, and some pixels not at all.

    Attributes:
      photons: as many stand for white.
      drop: share of pixels that become black.
    """

    photons: float
    drop: float

    def __call__(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        counted = generator.poisson(pixels / 255 * self.photons) / self.photons
        kept = generator.random(pixels.shape[:2]) >= self.drop
        return np.rint(255 * np.minimum(counted, 1) * kept[..., None]).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Compression:
    """The picture becomes a JPEG file, whose colours have half the size ("4:2:0").

    Attributes:
      quality: of Pillow, from 1 to 100.
    """

    quality: int

    def __call__(self, pixels: Pixels, generator: np.random.Generator) -> Pixels:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
        with Image.open(file) as decoded:
            return np.array(decoded)


def damage(truths: Sequence[Truth], pixels: Pixels, seed: int) -> Pixels:
    """Damages a picture, and enlarges what is left by repetition to its old size.

    Args:
      truths: one after the other.
      pixels: of the picture.
      seed: of everything random; each truth draws from its own numbers.
    """
    left = pixels
    for index, truth in enumerate(truths):
        left = truth(left, np.random.default_rng((seed, index)))
    down, across = (old // new for old, new in zip(pixels.shape[:2], left.shape[:2], strict=True))
    return left.repeat(down, 0).repeat(across, 1)


def side_after(chain: Sequence[Truth], resolution: int) -> int:
    """Returns the side of the picture that damages leave of an image of a resolution, in pixels."""
    return resolution // math.prod(truth.factor for truth in chain if isinstance(truth, Reduction))


def assumed(truths: Sequence[Truth], observed: Float[Array, "h w 3"], *, draws: bool = False) -> Degradation:
    """The degradation that an optimiser assumes to have led to an observation.

    The mean of noise is assumed. Where a compression follows, nothing tells the dropped pixels from the others, and a
    mean that dims them all is too far from what is seen: such noise is drawn anew in every step.

    Args:
      truths: what happened, one after the other.
      observed: tells which pixels were dropped, unless a compression has blurred that.
      draws: all noise is drawn.
    """
    parts: list[Degradation] = []
    factor = 1
    for index, truth in enumerate(truths):
        match truth:
            case Exactly():
                parts += parts_of(truth.degradation)
            case Hole():
                height, width = truth.mask.shape
                small = _smallest(truth.mask, (height // factor, width // factor))
                parts.append(Mask(jnp.asarray(small.repeat(factor, 0).repeat(factor, 1))))
            case Reduction():
                factor *= truth.factor
                parts.append(Pooling(jnp.int32(factor)))
            case PoissonNoise():
                is_blurred = any(isinstance(later, Compression) for later in truths[index + 1 :])
                photons, drop = jnp.float32(truth.photons), jnp.float32(truth.drop)
                mean = Dimming(drop) if is_blurred else Denoising.of(observed, truth.photons)
                parts.append(ShotNoise(mean, photons, drop) if draws or is_blurred else mean)
            case Compression():
                parts.append(JPEG.of_quality(truth.quality, factor=factor))
            case _:
                raise TypeError(f"no degradation is known for {type(truth).__name__}; wrap one in Exactly")
    if not parts:
        return Identity()
    return parts[0] if len(parts) == 1 else Compose(tuple(parts))


def _smallest(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A mask at the size of a smaller picture."""
    height, width = shape[:2]
    return mask.reshape(height, mask.shape[0] // height, width, mask.shape[1] // width).min((1, 3))
