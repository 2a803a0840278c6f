"""Holds the pure functions that StyleGAN2 is built from, each for one example (`jax.vmap` makes a batch).

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, arXiv 1912.04958 (modulation, Sec. 2.2).
  Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, arXiv 2006.06676 (conv_clamp).
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan.convolutions import Plan, conv2d, transposed_conv2d


def normalize_2nd_moment(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """Scales a vector to mean square 1 (`x / sqrt(mean(x^2) + 1e-8)`)."""
    return x * jax.lax.rsqrt(jnp.mean(x**2) + 1e-8)


def dense(
    x: Float[Array, " i"], kernel: Float[Array, "i o"], bias: Float[Array, " o"], *, lr_multiplier: float = 1.0
) -> Float[Array, " o"]:
    """Applies a dense layer with an equalised learning rate: weights are stored with unit variance and scaled here.

    Args:
      x: the features.
      kernel, bias: the stored arrays, before the run-time scale.
      lr_multiplier: the layer's learning-rate multiplier, 0.01 in the mapping network.
    References:
      Karras et al., "Progressive Growing of GANs", 2018, Sec. 4.1, arXiv 1710.10196.
    """
    return x @ (kernel * (lr_multiplier / math.sqrt(kernel.shape[0]))) + bias * lr_multiplier


def leaky_relu(x: Float[Array, "*n"], *, gain: float = math.sqrt(2)) -> Float[Array, "*n"]:
    """Applies a leaky ReLU of slope 0.2, times `gain`; `sqrt(2)` about keeps the variance of a unit normal."""
    return jnp.where(x > 0, x, 0.2 * x) * gain


def clamp(x: Float[Array, "*n"], limit: float | None) -> Float[Array, "*n"]:
    """Clips to [-limit, limit]; where `limit` is None, `x` is returned."""
    return x if limit is None else jnp.clip(x, -limit, limit)


def upfirdn2d(
    x: Float[Array, "h w c"],
    kernel: np.ndarray,
    *,
    up: int | tuple[int, int] = 1,
    down: int | tuple[int, int] = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Float[Array, "H W c"]:
    """Inserts zeros, pads, filters (by true convolution) and decimates every channel.

    Args:
      x: one image or feature map.
      kernel: a static filter; 1-D taps are applied along both axes, a 2-D `[kh, kw]` filter as it is.
      up, down: one factor, or a pair (vertical, horizontal). `up - 1` zeros follow each sample.
      padding: pixels added after zero insertion at (top, bottom, left, right); negative numbers crop.
    """
    up, down = (v if isinstance(v, tuple) else (v, v) for v in (up, down))
    taps = kernel.shape if kernel.ndim == 2 else 2 * kernel.shape

    @jax.custom_vjp
    def apply(x: Float[Array, "h w c"]) -> Float[Array, "H W c"]:
        return _upfirdn2d(x, kernel, up, down, padding)

    def adjoint(_: None, gradient: Float[Array, "H W c"]) -> tuple[Float[Array, "h w c"]]:
        # The adjoint is the same function with `up` and `down` exchanged and the kernel turned round. It is written out
        # because the automatic adjoint adds up padded arrays, which is several times slower on CPUs.
        sides = []
        for axis in (0, 1):
            before = taps[axis] - 1 - padding[2 * axis]
            after = x.shape[axis] * up[axis] - gradient.shape[axis] * down[axis] + padding[2 * axis] - up[axis] + 1
            sides += [before, after]
        return (upfirdn2d(gradient, np.flip(kernel), up=down, down=up, padding=tuple(sides)),)

    apply.defvjp(lambda x: (apply(x), None), adjoint)
    return apply(x)


def _upfirdn2d(
    x: Float[Array, "h w c"],
    kernel: np.ndarray,
    up: tuple[int, int],
    down: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> Float[Array, "H W c"]:
    top, bottom, left, right = padding
    x = jax.lax.pad(
        x,
        jnp.zeros((), x.dtype),
        [(top, bottom + up[0] - 1, up[0] - 1), (left, right + up[1] - 1, up[1] - 1), (0, 0, 0)],
    )
    if kernel.ndim == 1:
        x = _convolve_shifted(x, kernel[:, None], (down[0], 1))
        return _convolve_shifted(x, kernel[None, :], (1, down[1]))
    return _convolve_shifted(x, kernel, down)


def _convolve_shifted(x: Float[Array, "h w c"], kernel: np.ndarray, stride: tuple[int, int]) -> Float[Array, "H W c"]:
    """Computes a valid true convolution as a sum of shifted views, which compilers fuse into one pass over `x`."""
    height, width = (x.shape[axis] - kernel.shape[axis] + 1 for axis in (0, 1))
    flipped = kernel[::-1, ::-1]
    views = (
        float(flipped[i, j]) * x[i : i + height : stride[0], j : j + width : stride[1]]
        for i, j in np.ndindex(*kernel.shape)
    )
    return functools.reduce(operator.add, views)


def upsample2d(x: Float[Array, "h w c"], taps: Sequence[float]) -> Float[Array, "2*h 2*w c"]:
    """Doubles an image with the resample filter `taps` (StyleGAN2 uses 1, 3, 3, 1), keeping its brightness."""
    first, last = (len(taps) + 1) // 2, (len(taps) - 2) // 2  # 2 and 1 for four taps
    return upfirdn2d(x, _of_sum_two(taps), up=2, padding=(first, last, first, last))


def up_conv2d(
    x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"], taps: Sequence[float], plan: Plan | None = None
) -> Float[Array, "2*h 2*w o"]:
    """Doubles a feature map: inserts zeros, convolves with a 3x3 `kernel`, then applies the resample filter `taps`.

    Unlike in `conv2d`, the kernel acts flipped: this is a transposed convolution of stride 2 with the stored weight.
    The kernel is rounded to the format of `x`.
    """
    if plan is not None and plan.merges_filters(kernel.shape) and len(taps) == 4:
        return _up_conv2d_by_phases(x, kernel, taps, plan)
    x = transposed_conv2d(x, kernel.astype(x.dtype), plan)  # [2h+1, 2w+1, o]
    first, last = (len(taps) - 1) // 2, (len(taps) - 2) // 2  # 1 and 1 for four taps
    return upfirdn2d(x, _of_sum_two(taps), padding=(first, last, first, last))


def _up_conv2d_by_phases(
    x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"], taps: Sequence[float], plan: Plan
) -> Float[Array, "2*h 2*w o"]:
    """One convolution with four times the channels, the even and odd pixels of the result, and no pass of the filter.

    Kernel and filter `f` make one kernel `K[j] = sum_a f[j - a] kernel[a]` of six taps. Pixel `2 q + r` of the result
    is reached by the pixels `q - 1 + d` with the taps `K[r + 4 - 2 d]`, `d` from 0 to 2.
    """
    filter_ = _of_sum_two(taps)
    merged = np.zeros((2, 3, 3))  # of the phase r, the tap d and the kernel's own tap a
    for r, d, a in np.ndindex(2, 3, 3):
        if 0 <= (tap := r + 4 - 2 * d - a) < 4:
            merged[r, d, a] = filter_[tap]
    rows = jnp.asarray(merged, kernel.dtype)
    phases = jnp.einsum("rda,seb,abio->deirso", rows, rows, kernel)
    height, width, channels = *x.shape[:2], kernel.shape[3]
    y = conv2d(x, phases.reshape(3, 3, kernel.shape[2], 4 * channels).astype(x.dtype), plan)  # [h, w, 4 o]
    return y.reshape(height, width, 2, 2, channels).transpose(0, 2, 1, 3, 4).reshape(2 * height, 2 * width, channels)


def _of_sum_two(taps: Sequence[float]) -> np.ndarray:
    """Scales a filter so that it keeps the mean although every other sample along its axis is an inserted zero."""
    array = np.asarray(taps, np.float64)
    return 2 * array / array.sum()


def demodulation(kernel: Float[Array, "k k i o"], styles: Float[Array, " i"]) -> Float[Array, " o"]:
    """Computes the scale that restores unit variance to each output channel (StyleGAN2, Eq. 3)."""
    return jax.lax.rsqrt(styles**2 @ jnp.sum(kernel**2, (0, 1)) + 1e-8)


def max_pool(x: Float[Array, "h w c"]) -> Float[Array, "h//2 w//2 c"]:
    """Takes the largest value of each 2x2 tile; an odd last row or column is dropped."""
    height, width = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    tiles = [x[i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]
    return jnp.maximum(jnp.maximum(tiles[0], tiles[1]), jnp.maximum(tiles[2], tiles[3]))
