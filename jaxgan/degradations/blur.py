"""Blurs: out of focus, and shaken."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgan.degradations.protocol import CompleteObservation, pytree


@pytree
@dataclasses.dataclass(frozen=True)
class GaussianBlur(CompleteObservation):
    """Convolves with a sampled, normalised Gaussian; the border is mirrored without repeating its pixels.

    Attributes:
      sigma: standard deviation in pixels, positive, `[]`.
      kernel_size: taps along each axis, odd; beyond it the Gaussian is cut off.
    """

    sigma: Any
    kernel_size: int = dataclasses.field(metadata={"static": True})

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        rows, columns = (self._matrix(size) for size in image.shape[:2])
        return jnp.einsum("yh,xw,hwc->yxc", rows, columns, image, precision="highest")

    @classmethod
    def for_resolution(cls, resolution: int) -> GaussianBlur:
        """51 taps of sigma 10 at 1024 pixels, in proportion at other sizes (3 taps of sigma 0.625 at 64)."""
        kernel_size = max(3, 2 * round(51 * resolution / 1024 / 2 - 0.5) + 1)
        return cls(jnp.float32(10 * resolution / 1024), kernel_size)

    def _matrix(self, size: int) -> Float[Array, "size size"]:
        """The blur along one axis, mirrored borders included, as a banded matrix: cheap, and the same under vmap."""
        radius = self.kernel_size // 2
        if self.kernel_size < 1 or self.kernel_size % 2 == 0 or radius >= size:
            raise ValueError(
                f"kernel_size is {self.kernel_size}; expected an odd number below {2 * size} for {size} pixels."
            )

        def tap(offset: Int[Array, "*shape"]) -> Float[Array, "*shape"]:
            inside = jnp.abs(offset) <= radius
            return jnp.where(inside, jnp.exp(-0.5 * (jnp.where(inside, offset, 0) / self.sigma) ** 2), 0.0)

        to, from_ = jnp.arange(size)[:, None], jnp.arange(size)[None, :]
        mirrored = jnp.where(from_ > 0, tap(-from_ - to), 0.0)  # seen again beyond the first pixel,
        mirrored += jnp.where(from_ < size - 1, tap(2 * (size - 1) - from_ - to), 0.0)  # and beyond the last one
        return (tap(from_ - to) + mirrored) / jnp.sum(tap(jnp.arange(-radius, radius + 1)))


PEN = 0.5
"""Standard deviation in pixels of the Gaussian that a `MotionBlur` moves along its path."""


@pytree
@dataclasses.dataclass(frozen=True)
class MotionBlur(CompleteObservation):
    """Averages along a straight path, that of a shaken camera; the border is mirrored as in `GaussianBlur`.

    A tap is the integral along the path of a Gaussian of `PEN` pixels, so that all of it is smooth in both parameters.

    Attributes:
      length: of the path in pixels, positive, `[]`.
      angle: of the path in degrees, counter-clockwise from the x axis, `[]`.
      kernel_size: taps along each axis, odd; beyond it the path is cut off.
    """

    length: Any
    angle: Any
    kernel_size: int = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(cls, length: float, angle: float, *, longest: float | None = None) -> MotionBlur:
        """A blur with room for its path.

        Args:
          length, angle: as the attributes.
          longest: makes room for paths of that length, which may then share a batch; by default that of this one.
        """
        kernel_size = 2 * math.ceil((length if longest is None else longest) / 2 + 1.5) + 1
        return cls(jnp.float32(length), jnp.float32(angle), kernel_size)

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        height, width = image.shape[:2]
        radius = self.kernel_size // 2
        if self.kernel_size < 1 or self.kernel_size % 2 == 0 or radius >= min(height, width):
            raise ValueError(
                f"kernel_size is {self.kernel_size}; expected an odd number below {2 * min(height, width)} for an "
                f"image of {width}x{height} pixels."
            )
        padded = jnp.pad(image, ((radius, radius), (radius, radius), (0, 0)), mode="reflect")
        shape = padded.shape[:2]
        transformed = jnp.fft.rfft2(self._kernel(), shape)[:, :, None] * jnp.fft.rfft2(padded, axes=(0, 1))
        both = jnp.fft.irfft2(transformed, shape, axes=(0, 1))  # of a circle, whose seam lies in what is cut off
        return both[2 * radius :, 2 * radius :]

    def _kernel(self) -> Float[Array, "k k"]:
        radius = self.kernel_size // 2
        right, up = jnp.arange(-radius, radius + 1)[None, :], -jnp.arange(-radius, radius + 1)[:, None]
        cosine, sine = jnp.cos(jnp.deg2rad(self.angle)), jnp.sin(jnp.deg2rad(self.angle))
        along, across = cosine * right + sine * up, cosine * up - sine * right
        ends = [jax.scipy.special.erf((along + side * self.length / 2) / (PEN * math.sqrt(2))) for side in (1, -1)]
        taps = (ends[0] - ends[1]) * jnp.exp(-0.5 * (across / PEN) ** 2)
        return taps / jnp.sum(taps)
