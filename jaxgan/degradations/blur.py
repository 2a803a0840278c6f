"""Blurs: out of focus, and shaken."""

from __future__ import annotations

import dataclasses
from typing import Any

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
        if self.kernel_size % 2 == 0 or radius >= size:
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
