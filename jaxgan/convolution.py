"""The two convolutions of the networks, each written the way its platform runs it fastest.

GPUs get the compiler's convolution. On CPUs it is slow for one image of 64 pixels and less, and slower still when XLA
transposes it for a gradient inside a loop; so both directions are written out here, small images as matrix products.
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
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from jaxgan import winograd
from jaxgan.winograd import Transformed

MANY_CHANNELS = 128 * 256
"""Inputs times outputs of a kernel from which on Winograd's algorithm saves more than its transformations cost."""

_TAPS = [(i, j) for i in range(3) for j in range(3)]


def prepare(network: nnx.Module) -> nnx.Module:
    """A copy of a network for a loop on CPUs: large kernels are transformed once instead of in every step."""
    network = jax.tree.map(lambda leaf: leaf, network)
    for _, layer in nnx.iter_modules(network):
        if hasattr(layer, "transformed"):
            kernel = layer.kernel[...]
            if kernel.shape[:2] == (3, 3) and kernel.shape[2] * kernel.shape[3] >= MANY_CHANNELS:
                layer.transformed = nnx.data(winograd.transform(kernel))
    return network


@jax.custom_vjp
def conv2d(
    x: Float[Array, "h w i"], kernel: Float[Array, "k k i o"], transformed: Transformed | None = None
) -> Float[Array, "h w o"]:
    """Correlation with an odd kernel, zero padding and stride 1.

    Args:
      x: the image.
      kernel: odd.
      transformed: `winograd.transform(kernel)`, which pays if the kernel is used many times (see `prepare`).
    """
    if kernel.shape[0] != 3:
        return _on_platform(x, kernel, cpu=_same, default=_same)
    return _on_platform(x, kernel, transformed, cpu=_knowing_the_batch(_fastest), default=_same)


def _conv2d_backward(residuals: tuple[Array, Array, Transformed | None], gradient: Float[Array, "h w o"]):
    x, kernel, transformed = residuals
    if kernel.shape[0] != 3:
        of_x = _same_adjoint(gradient, kernel)
    else:
        cpu = _knowing_the_batch(_fastest_adjoint)
        of_x = _on_platform(gradient, kernel, transformed, cpu=cpu, default=_same_adjoint)
    of_kernel = jax.linear_transpose(lambda k: _same(x, k), kernel)(gradient)[0]  # removed where unused
    return of_x, of_kernel, None


conv2d.defvjp(
    lambda x, kernel, transformed=None: (conv2d(x, kernel, transformed), (x, kernel, transformed)), _conv2d_backward
)


@jax.custom_vjp
def transposed_conv2d(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "2*h+1 2*w+1 o"]:
    """Each input pixel adds the kernel, times its value, at twice its position; its adjoint is a strided one."""
    cpu = _transposed_by_patches if x.shape[1] <= 32 else _transposed_by_phases
    return _on_platform(x, kernel, cpu=cpu, default=_transposed)


def _transposed_conv2d_backward(residuals: tuple[Array, Array], gradient: Float[Array, "H W o"]) -> tuple[Array, Array]:
    x, kernel = residuals
    cpu = _strided_by_patches if x.shape[1] <= 32 else _strided_by_phases
    adjoint = _on_platform(gradient, kernel, cpu=cpu, default=_strided)
    of_kernel = jax.linear_transpose(lambda k: _transposed(x, k), kernel)(gradient)[0]
    return adjoint, of_kernel


transposed_conv2d.defvjp(lambda x, kernel: (transposed_conv2d(x, kernel), (x, kernel)), _transposed_conv2d_backward)


def _on_platform(x: Array, kernel: Array, *transformed: Any, cpu: Callable, default: Callable) -> Array:
    def elsewhere(x: Array, kernel: Array, *_: Any) -> Array:
        return default(x, kernel)

    if x.dtype.itemsize < 4:
        return jax.lax.platform_dependent(x, kernel, cpu=_in_float32(cpu), default=elsewhere)
    return jax.lax.platform_dependent(x, kernel, *transformed, cpu=cpu, default=elsewhere)


def _in_float32(convolve: Callable) -> Callable:
    """16 bits as CPUs emulate them: products of the rounded numbers, summed in float32 and rounded at the end."""
    return lambda x, kernel: convolve(x.astype(jnp.float32), kernel.astype(jnp.float32)).astype(x.dtype)


def _knowing_the_batch(convolve: Callable) -> Callable:
    """`convolve(1, ...)` for one image, `convolve(n, ...)` mapped over n of them under `jax.vmap`."""
    function = custom_vmap(partial(convolve, 1))

    @function.def_vmap
    def batched(size, are_batched, *arguments):
        axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, are_batched)
        return jax.vmap(partial(convolve, size), axes)(*arguments), True

    return function


def _fastest(
    batch: int, x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"], transformed: Transformed | None = None
) -> Float[Array, "h w o"]:
    """A correlation on CPUs, in the company of a batch."""
    if transformed is not None and _has_many_tiles(batch, x):
        return winograd.conv2d(x, transformed.forward)
    if x.shape[1] <= (16 if batch == 1 else 8):
        return _same_by_patches(x, kernel)
    return _same_in_strips(x, kernel) if _has_strips(x) else _same(x, kernel)


def _fastest_adjoint(
    batch: int, gradient: Float[Array, "h w o"], kernel: Float[Array, "3 3 i o"], transformed: Transformed | None = None
) -> Float[Array, "h w i"]:
    """Its adjoint in x."""
    if transformed is not None and _has_many_tiles(batch, gradient):
        return winograd.conv2d(gradient, transformed.backward)
    if gradient.shape[1] <= (16 if batch == 1 else 8):
        return _same_adjoint_by_patches(gradient, kernel)
    if _has_strips(gradient):
        return _same_in_strips(gradient, _flip(kernel))
    return _same_adjoint(gradient, kernel)


def _has_many_tiles(batch: int, x: Array) -> bool:
    """Whether Winograd's products are large enough to pay for the larger kernel."""
    height, width, _ = x.shape
    return height % 4 == 0 and width % 4 == 0 and batch * height * width >= 512


def _has_strips(x: Array) -> bool:
    """Whether the image gives four strips of some size."""
    height, width, channels = x.shape
    return 32 <= width <= 64 and height % 4 == 0 and channels >= 32


# The compiler's convolution.


def _convolve(x, kernel, padding, *, strides=(1, 1), lhs_dilation=(1, 1)):
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


# The same as matrix products over the nine shifted views of an image.


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


# Even and odd pixels of a large image each by themselves: four convolutions, with the taps that reach them.


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


# Images of 32 and 64 pixels on CPUs: wide images are convolved faster than narrow ones.


def _same_in_strips(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w o"]:
    """Four horizontal strips of the image are laid side by side, a column of zeros between them."""
    height, width, _ = x.shape
    rows = height // 4
    padded = jnp.pad(x, ((1, 1), (0, 1), (0, 0)))
    wide = jnp.concatenate([padded[i * rows : (i + 1) * rows + 2] for i in range(4)], 1)  # [h/4 + 2, 4 (w + 1), i]
    y = _convolve(wide, kernel, ((0, 0), (1, 1)))  # [h/4, 4 (w + 1), o]
    strips = y.reshape(rows, 4, width + 1, -1)[:, :, :width]
    return strips.swapaxes(0, 1).reshape(height, width, -1)
