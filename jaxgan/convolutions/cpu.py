"""Writes the 3x3 convolutions of the networks in several ways, and chooses the one that a CPU runs fastest.

The compiler's own convolution is slow on CPUs for one image of 64 pixels and less, and slower still when XLA transposes
it for a gradient inside a loop; so each algorithm here comes with its adjoint, written out. Few pixels go through a
product with nine shifted views, which outgrow the caches if there are many. Images of 32 to 64 pixels are cut into
strips. Large up-convolutions are split into even and odd pixels. Many channels of many pixels go through
`winograd`. experiments/BENCHMARK.md has the times behind each limit.
"""

from __future__ import annotations

import functools
import operator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan.convolutions import compiler, winograd
from jaxgan.convolutions.compiler import SAME, Algorithm, convolve, flip, same
from jaxgan.convolutions.winograd import Transformed

_TAPS = [(i, j) for i in range(3) for j in range(3)]


def correlation(
    batch: int, shape: tuple[int, ...], kernel_shape: tuple[int, ...], *, is_transformed: bool
) -> Algorithm:
    """Chooses the algorithm of a correlation on CPUs.

    Args:
      batch: the number of images that are convolved at once.
      shape: height, width and channels of the image.
      kernel_shape: the shape of the kernel, `[k, k, i, o]`; all but 3x3 are left to the compiler.
      is_transformed: True if the kernel is at hand in the form that `WINOGRAD` takes.
    """
    height, width, _ = shape
    if kernel_shape[:2] != (3, 3):
        return SAME
    if is_transformed and height % 4 == width % 4 == 0 and batch * height * width >= 512:
        return WINOGRAD
    if width <= (16 if batch == 1 else 8):
        return PATCHES
    if not (32 <= width <= 64 and height % 4 == 0):
        return SAME
    # The adjoint convolves the gradient, which has the channels of the result, so each direction is chosen by itself.
    forward, adjoint = (STRIPS if channels >= 32 else SAME for channels in kernel_shape[2:])
    return Algorithm(forward.forward, adjoint.adjoint, same)


def transposed(shape: tuple[int, ...]) -> Algorithm:
    """Chooses the algorithm of a transposed convolution on CPUs by the width of the smaller image."""
    return TRANSPOSED_PATCHES if shape[1] <= 32 else TRANSPOSED_PHASES


def _same_by_patches(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w o"]:
    height, width, _ = x.shape
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
    patches = jnp.concatenate([padded[i : i + height, j : j + width] for i, j in _TAPS], -1)  # [h, w, 9 i]
    return patches @ kernel.reshape(-1, kernel.shape[3])


def _same_adjoint_by_patches(gradient: Float[Array, "h w o"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w i"]:
    channels, out_channels = kernel.shape[2:]
    patches = gradient @ kernel.reshape(-1, out_channels).T  # [h, w, 9 i]
    return _overlap_add(patches, channels, stride=1)[1:-1, 1:-1]


def _transposed_by_patches(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "2*h+1 2*w+1 o"]:
    channels, out_channels = kernel.shape[2:]
    patches = x @ kernel.transpose(2, 0, 1, 3).reshape(channels, -1)  # [h, w, 9 o]
    return _overlap_add(patches, out_channels, stride=2)


def _strided_by_patches(gradient: Float[Array, "H W o"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w i"]:
    height, width = gradient.shape[0] // 2, gradient.shape[1] // 2
    views = [gradient[i : i + 2 * height : 2, j : j + 2 * width : 2] for i, j in _TAPS]
    patches = jnp.concatenate(views, -1)  # [h, w, 9 o]
    return patches @ kernel.transpose(2, 0, 1, 3).reshape(kernel.shape[2], -1).T


def _overlap_add(patches: Float[Array, "h w nine_c"], channels: int, *, stride: int) -> Float[Array, "H W {channels}"]:
    """Adds the 3x3 patch of each pixel at `stride` times its position."""
    zero = jnp.zeros((), patches.dtype)
    placed = []
    for tap, (i, j) in enumerate(_TAPS):
        view = patches[:, :, tap * channels : (tap + 1) * channels]
        # The last row lands on row stride * (h - 1) + i of stride * (h - 1) + 3.
        placed.append(jax.lax.pad(view, zero, ((i, 2 - i, stride - 1), (j, 2 - j, stride - 1), (0, 0, 0))))
    return functools.reduce(operator.add, placed)


def _transposed_by_phases(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "2*h+1 2*w+1 o"]:
    # Even pixels 2r get taps 0 of pixel r and 2 of pixel r - 1, odd ones 2r + 1 get tap 1 of pixel r.
    def phase(rows: int, columns: int) -> Array:
        taps = kernel[1:2] if rows else kernel[::-2]
        taps = taps[:, 1:2] if columns else taps[:, ::-2]
        return convolve(x, taps, [(0, 1) if is_odd else (1, 1) for is_odd in (rows, columns)])

    phases = jnp.stack([jnp.stack([phase(i, j) for j in (0, 1)], 2) for i in (0, 1)], 1)  # [h + 1, 2, w + 1, 2, o]
    height, width = 2 * phases.shape[0], 2 * phases.shape[2]
    return phases.reshape(height, width, -1)[:-1, :-1]


def _strided_by_phases(gradient: Float[Array, "H W o"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w i"]:
    phases = [(i, j) for i in (0, 1) for j in (0, 1)]
    parts = (convolve(gradient[i::2, j::2], kernel[i::2, j::2].swapaxes(2, 3), "VALID") for i, j in phases)
    return functools.reduce(operator.add, parts)


def _same_in_strips(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w o"]:
    """Convolves four horizontal strips of the image side by side, with a column of zeros between them.

    CPUs convolve wide images faster than narrow ones.
    """
    height, width, _ = x.shape
    rows = height // 4
    padded = jnp.pad(x, ((1, 1), (0, 1), (0, 0)))
    wide = jnp.concatenate([padded[i * rows : (i + 1) * rows + 2] for i in range(4)], 1)  # [h/4 + 2, 4 (w + 1), i]
    y = convolve(wide, kernel, ((0, 0), (1, 1)))  # [h/4, 4 (w + 1), o]
    strips = y.reshape(rows, 4, width + 1, -1)[:, :, :width]
    return strips.swapaxes(0, 1).reshape(height, width, -1)


def _by_winograd(x: Float[Array, "h w i"], transformed: Transformed) -> Float[Array, "h w o"]:
    return winograd.conv2d(x, transformed.forward)


def _adjoint_by_winograd(gradient: Float[Array, "h w o"], transformed: Transformed) -> Float[Array, "h w i"]:
    return winograd.conv2d(gradient, transformed.backward)


def _adjoint_in_strips(gradient: Float[Array, "h w o"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w i"]:
    return _same_in_strips(gradient, flip(kernel))


PATCHES = Algorithm(_same_by_patches, _same_adjoint_by_patches, same)
"""The correlation as a matrix product over the nine shifted views of the image."""
STRIPS = Algorithm(_same_in_strips, _adjoint_in_strips, same)
"""The compiler's convolution, applied to an image four times as wide and a fourth as high."""
WINOGRAD = Algorithm(_by_winograd, _adjoint_by_winograd, same)
"""Winograd's convolution, which multiplies a fourth as often, on a kernel that was transformed before."""
TRANSPOSED_PATCHES = Algorithm(_transposed_by_patches, _strided_by_patches, compiler.transposed)
"""The transposed convolution as a matrix product with the nine shifted views."""
TRANSPOSED_PHASES = Algorithm(_transposed_by_phases, _strided_by_phases, compiler.transposed)
"""The transposed convolution as four convolutions, one for each combination of even and odd rows and columns."""
