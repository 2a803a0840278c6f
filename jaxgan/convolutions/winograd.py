"""Convolves 3x3 kernels of many channels on CPUs with a quarter of the multiplications, by Winograd's F(4x4, 3x3).

An image is cut into tiles of 4x4 pixels. Tiles and kernel are transformed, multiplied number by number in 36 matrix
products over the channels, and transformed back. Transformed kernels are four times as large, so a loop prepares them
once. Rounding errors are several times those of a plain convolution.

References:
  Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, Sec. 4, arXiv 1509.09308.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# These are B^T, G and A^T of the paper, for interpolation at 0, 1, -1, 2, -2 and infinity.
_OF_TILE = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_OF_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_OF_RESULT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])


class Transformed(NamedTuple):
    """The transformed kernels that `conv2d` multiplies with.

    Attributes:
      forward: the transformed kernel, `[36, i, o]`.
      backward: the transformed kernel of the adjoint, `[36, o, i]`.
    """

    forward: Float[Array, "36 i o"]
    backward: Float[Array, "36 o i"]


MANY_CHANNELS = 128 * 256
"""The product of input and output channels from which on the algorithm saves more than its transformations cost."""


def may_pay(kernel_shape: tuple[int, ...]) -> bool:
    """Tells whether a kernel `[k, k, i, o]` has enough channels; the image must have enough pixels, too."""
    return kernel_shape[:2] == (3, 3) and kernel_shape[2] * kernel_shape[3] >= MANY_CHANNELS


def transform(kernel: Float[Array, "3 3 i o"]) -> Transformed:
    """Transforms a kernel, and that of its adjoint, which is turned by 180 degrees."""
    turned = kernel[::-1, ::-1].swapaxes(2, 3)
    return Transformed(*(_transform(_OF_KERNEL, one.reshape(9, *one.shape[2:])) for one in (kernel, turned)))


def conv2d(x: Float[Array, "h w i"], transformed: Float[Array, "36 i o"]) -> Float[Array, "h w o"]:
    """Correlates with a 3x3 kernel and zero padding 1; height and width are multiples of 4."""
    height, width, channels = x.shape
    padded = jnp.pad(x, ((1, 3), (1, 3), (0, 0))).reshape(height // 4 + 1, 4, width // 4 + 1, 4, channels)
    rows = jnp.concatenate([padded[:-1], padded[1:, :2]], 1)  # [h/4, 6, ...]: the last two are the next tile's first
    tiles = jnp.concatenate([rows[:, :, :-1], rows[:, :, 1:, :2]], 3)  # [h/4, 6, w/4, 6, i]
    tiles = tiles.transpose(1, 3, 0, 2, 4).reshape(36, -1, channels)
    products = _transform(_OF_TILE, tiles) @ transformed  # [36, h/4 * w/4, o]
    result = _transform(_OF_RESULT, products).reshape(4, 4, height // 4, width // 4, -1)
    return result.transpose(2, 0, 3, 1, 4).reshape(height, width, -1)


def _transform(matrix: np.ndarray, tiles: Float[Array, "n a b"]) -> Float[Array, "m a b"]:
    """Computes `matrix @ tile @ matrix.T` of tiles whose numbers lie along the first axis, row by row."""
    both = jnp.asarray(np.kron(matrix, matrix), jnp.float32)
    return (both @ tiles.reshape(len(tiles), -1)).reshape(-1, *tiles.shape[1:])
