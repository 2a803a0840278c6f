"""Small pictures: the average over tiles, and the small picture that it leaves."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxgan.degradations.protocol import CompleteObservation, pytree


@pytree
@dataclasses.dataclass(frozen=True)
class Pooling(CompleteObservation):
    """Averages over tiles, and enlarges again by repetition, so that a small picture keeps its shape (task `upsample`).

    Attributes:
      factor: side of a tile in pixels, a whole number that divides the sides of the image, `[]`.
    """

    factor: Any

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        rows, columns = (self._matrix(size) for size in image.shape[:2])
        return jnp.einsum("yh,xw,hwc->yxc", rows, columns, image, precision="highest")

    def _matrix(self, size: int) -> Float[Array, "size size"]:
        """The mean along one axis: a matrix, whose shape does not depend on the factor, so that a batch mixes them."""
        tile = jnp.arange(size) // self.factor
        same = (tile[:, None] == tile[None, :]).astype(jnp.result_type(float))
        return same / jnp.sum(same, 1, keepdims=True)


def to_corner(image: Float[Array, "h w c"], factor: Num[Array, ""] | int) -> Float[Array, "h w c"]:
    """Puts the small picture of a `Pooling`, a pixel per tile, into the upper left corner of one of the old shape.

    Its last row and column are repeated as far as there is room.
    """

    def matrix(size: int) -> Float[Array, "size size"]:
        tile = jnp.arange(size) // factor
        place = jnp.minimum(jnp.arange(size), tile[-1])
        same = (place[:, None] == tile[None, :]).astype(jnp.result_type(float))
        return same / jnp.sum(same, 1, keepdims=True)

    return _along_both(image, matrix)


def from_corner(image: Float[Array, "h w c"], factor: Num[Array, ""] | int) -> Float[Array, "h w c"]:
    """Enlarges the small picture in the upper left corner by repetition; the inverse of `to_corner`."""

    def matrix(size: int) -> Float[Array, "size size"]:
        pixel = jnp.arange(size)
        return (pixel[:, None] // factor == pixel[None, :]).astype(jnp.result_type(float))

    return _along_both(image, matrix)


def _along_both(image, matrix):
    rows, columns = (matrix(size) for size in image.shape[:2])
    return jnp.einsum("yh,xw,hwc->yxc", rows, columns, image, precision="highest")
