"""Degradations of single pixels: none, missing ones, lost colour."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan.degradations.protocol import CompleteObservation, pytree
from jaxgan.lpips import IMAGE_SHIFT


@pytree
@dataclasses.dataclass(frozen=True)
class Identity(CompleteObservation):
    """Observes the image as it is (task `invert`)."""

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return image


@pytree
@dataclasses.dataclass(frozen=True)
class Mask:
    """Observes the pixels where the mask is 1, and zero (mid-grey) elsewhere (task `inpaint`).

    Attributes:
      mask: `[H, W]`, 1 where the pixel is observed, 0 where it is missing.
    """

    mask: Any  # as a leaf of a pytree it may be batched or abstract

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return jnp.where(self.mask[:, :, None] > 0.5, image, 0.0)

    def hide_missing(self, observed: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return jnp.where(self.mask[:, :, None] > 0.5, observed, IMAGE_SHIFT[None, None, :])


@pytree
@dataclasses.dataclass(frozen=True)
class Grayscale(CompleteObservation):
    """Observes the mean of R, G and B, repeated on three channels (task `colorize`)."""

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return jnp.broadcast_to(jnp.mean(image, -1, keepdims=True), image.shape)
