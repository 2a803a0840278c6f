"""Ways to write the 3x3 convolutions of the networks, and which of them a CPU runs fastest.

The compiler's own convolution is slow on CPUs for one image of 64 pixels and less, and slower still when XLA transposes
it for a gradient inside a loop; so each algorithm here comes with its adjoint, written out.
Two cores with AVX-512, jaxlib 0.10.2, forwards and backwards in `lax.scan`, milliseconds (PyTorch 2.13 in brackets):

  pixels, channels   compiler  here          stride-2 transposed   compiler  here
  64x64, 64 to 64        4.6    2.7 (3.2)    16x16, 512 to 256         7.9    5.9 (7.0)
  16x16, 256 to 256      3.9    2.6 (2.8)    8x8, 512 to 512           8.4    4.0 (4.6)
  8x8, 512 to 512        8.3    3.0 (3.7)    4x4, 512 to 512           4.8    1.9 (2.1)

Large up-convolutions are split into even and odd pixels. Batches fill the compiler's convolution better, while the
patches of 16 pixels leave the caches. Two busy cores with AVX2, best of several, milliseconds (in brackets backwards):

  up, pixels, channels        compiler   patches    phases      8 images    compiler   patches
  128x128, 128 to 64          62 (125)   88 (89)    53 (66)     16x16, 256   55 (53)   131 (66)
  32x32, 512 to 256           44 (50)    33 (36)    35 (42)     8x8, 512     71 (84)    64 (60)

Many channels of many pixels go through `winograd`, on kernels that `prepare` transforms before a loop:

  one image        else     winograd    8 images         else     winograd    limits: 1 image      else     winograd
  64x64, 256    46 (46)      20 (27)    16x16, 256    21 (20)      11 (11)    16x16, 512         11 (10)    10 (10)
  32x32, 512    42 (53)      20 (20)    8x8, 512      18 (19)      12 (12)    8 of 4x4, 512       7 (8)      9 (9)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan.convolutions import winograd
from jaxgan.convolutions.winograd import Transformed

_TAPS = [(i, j) for i in range(3) for j in range(3)]


class Algorithm(NamedTuple):
    """A convolution of an image with a kernel, and its adjoint in the image, which takes the gradient instead."""

    forward: Callable[[Array, Array], Array]
    adjoint: Callable[[Array, Array], Array]


def fastest(batch: int, shape: tuple[int, int, int], transformed: Transformed | None) -> Algorithm:
    """The correlation with a 3x3 kernel for CPUs.

    Args:
      batch: images that are convolved at once.
      shape: height, width and channels of what is convolved, be it image or gradient.
      transformed: `winograd.transform(kernel)` if the kernel was prepared.
    """
    height, width, channels = shape
    if transformed is not None and height % 4 == width % 4 == 0 and batch * height * width >= 512:
        return _winograd(transformed)
    if width <= (16 if batch == 1 else 8):
        return PATCHES
    return STRIPS if 32 <= width <= 64 and height % 4 == 0 and channels >= 32 else PLAIN


def fastest_transposed(width: int) -> Algorithm:
    """The transposed convolution for CPUs, by the width of the smaller image."""
    return TRANSPOSED_PATCHES if width <= 32 else TRANSPOSED_PHASES


def _convolve(x: Array, kernel: Array, padding, *, strides=(1, 1), lhs_dilation=(1, 1)):
    return jax.lax.conv_general_dilated(
        x[None], kernel, strides, padding, lhs_dilation, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0]


def _same(x: Float[Array, "h w i"], kernel: Float[Array, "k k i o"]) -> Float[Array, "h w o"]:
    return _convolve(x, kernel, "SAME")


def _same_adjoint(gradient: Float[Array, "h w o"], kernel: Float[Array, "k k i o"]) -> Float[Array, "h w i"]:
    return _same(gradient, _flip(kernel))


def _transposed(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "2*h+1 2*w+1 o"]:
    return _convolve(x, kernel[::-1, ::-1], ((2, 2), (2, 2)), lhs_dilation=(2, 2))


def _strided(gradient: Float[Array, "H W o"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w i"]:
    return _convolve(gradient, kernel.swapaxes(2, 3), "VALID", strides=(2, 2))


def _flip(kernel: Float[Array, "k k i o"]) -> Float[Array, "k k o i"]:
    return kernel[::-1, ::-1].swapaxes(2, 3)


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
    return sum(placed)


def _transposed_by_phases(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "2*h+1 2*w+1 o"]:
    # Even pixels 2r get taps 0 of pixel r and 2 of pixel r - 1, odd ones 2r + 1 get tap 1 of pixel r.
    def phase(rows: int, columns: int) -> Array:
        taps = kernel[1:2] if rows else kernel[::-2]
        taps = taps[:, 1:2] if columns else taps[:, ::-2]
        return _convolve(x, taps, [(0, 1) if is_odd else (1, 1) for is_odd in (rows, columns)])

    phases = jnp.stack([jnp.stack([phase(i, j) for j in (0, 1)], 2) for i in (0, 1)], 1)  # [h + 1, 2, w + 1, 2, o]
    height, width = 2 * phases.shape[0], 2 * phases.shape[2]
    return phases.reshape(height, width, -1)[:-1, :-1]


def _strided_by_phases(gradient: Float[Array, "H W o"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w i"]:
    phases = [(i, j) for i in (0, 1) for j in (0, 1)]
    return sum(_convolve(gradient[i::2, j::2], kernel[i::2, j::2].swapaxes(2, 3), "VALID") for i, j in phases)


def _same_in_strips(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w o"]:
    """Four horizontal strips of the image are laid side by side, a column of zeros between them.

    CPUs convolve wide images faster than narrow ones.
    """
    height, width, _ = x.shape
    rows = height // 4
    padded = jnp.pad(x, ((1, 1), (0, 1), (0, 0)))
    wide = jnp.concatenate([padded[i * rows : (i + 1) * rows + 2] for i in range(4)], 1)  # [h/4 + 2, 4 (w + 1), i]
    y = _convolve(wide, kernel, ((0, 0), (1, 1)))  # [h/4, 4 (w + 1), o]
    strips = y.reshape(rows, 4, width + 1, -1)[:, :, :width]
    return strips.swapaxes(0, 1).reshape(height, width, -1)


def _winograd(transformed: Transformed) -> Algorithm:
    return Algorithm(
        lambda x, _: winograd.conv2d(x, transformed.forward),
        lambda gradient, _: winograd.conv2d(gradient, transformed.backward),
    )


PLAIN = Algorithm(_same, _same_adjoint)
"""The compiler's convolution."""
PATCHES = Algorithm(_same_by_patches, _same_adjoint_by_patches)
"""A matrix product over the nine shifted views of the image."""
STRIPS = Algorithm(_same_in_strips, lambda gradient, kernel: _same_in_strips(gradient, _flip(kernel)))
"""The compiler's convolution of a picture four times as wide and a fourth as high."""
TRANSPOSED = Algorithm(_transposed, _strided)
"""The compiler's transposed convolution of stride 2."""
TRANSPOSED_PATCHES = Algorithm(_transposed_by_patches, _strided_by_patches)
"""The same as a matrix product with the nine shifted views."""
TRANSPOSED_PHASES = Algorithm(_transposed_by_phases, _strided_by_phases)
"""Even and odd pixels each by themselves: four convolutions, with the taps that reach them."""
