"""The pure functions StyleGAN2 is built from, each for one example (batch them with `jax.vmap`).

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

from jaxgan.convolutions import Plan, transposed_conv2d


def normalize_2nd_moment(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """Scales a vector to mean square 1 (`x / sqrt(mean(x^2) + 1e-8)`)."""
    return x * jax.lax.rsqrt(jnp.mean(x**2) + 1e-8)


def dense(
    x: Float[Array, " i"], kernel: Float[Array, "i o"], bias: Float[Array, " o"], *, lr_multiplier: float = 1.0
) -> Float[Array, " o"]:
    """Dense layer with an equalised learning rate: the stored weights have unit variance and are scaled here.

    Args:
      x: features.
      kernel, bias: as stored, i.e. before the run-time scale.
      lr_multiplier: the layer's learning-rate multiplier, 0.01 in the mapping network.
    References:
      Karras et al., "Progressive Growing of GANs", 2018, Sec. 4.1, arXiv 1710.10196.
    """
    return x @ (kernel * (lr_multiplier / math.sqrt(kernel.shape[0]))) + bias * lr_multiplier


def dense_per_output(
    x: Float[Array, "rows i"], kernel: Float[Array, "i o"], bias: Float[Array, " o"], *, lr_multiplier: float = 1.0
) -> Float[Array, " o"]:
    """Applies the dense layer of the W++ space, which computes output k from row k of `x`.

    There is a row for every output, or more. With equal rows this is `dense`, which explains the other arguments.

    References:
      Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, Sec. 3.1, arXiv 2302.06733.
    """
    kernel = kernel * (lr_multiplier / math.sqrt(kernel.shape[0]))
    return jnp.sum(x[: kernel.shape[1]] * kernel.T, -1) + bias * lr_multiplier


def leaky_relu(x: Float[Array, "*n"], *, gain: float = math.sqrt(2)) -> Float[Array, "*n"]:
    """Leaky ReLU of slope 0.2, times `gain`; `sqrt(2)` about keeps the variance of a unit normal."""
    return jnp.where(x > 0, x, 0.2 * x) * gain


def clamp(x: Float[Array, "*n"], limit: float | None) -> Float[Array, "*n"]:
    """Clips to [-limit, limit]; the identity when `limit` is None."""
    return x if limit is None else jnp.clip(x, -limit, limit)


def upfirdn2d(
    x: Float[Array, "h w c"],
    kernel: np.ndarray,
    *,
    up: int | tuple[int, int] = 1,
    down: int | tuple[int, int] = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
) -> Float[Array, "H W c"]:
    """Zero insertion, padding, a FIR filter (true convolution) and decimation of every channel.

    Args:
      x: one image or feature map.
      kernel: static filter; 1-D taps are applied along both axes, a 2-D `[kh, kw]` filter as it is.
      up, down: factors, one number or (vertical, horizontal). `up - 1` zeros follow each sample.
      padding: (top, bottom, left, right) after zero insertion; negative numbers crop.
    """
    up, down = (v if isinstance(v, tuple) else (v, v) for v in (up, down))
    taps = kernel.shape if kernel.ndim == 2 else 2 * kernel.shape

    @jax.custom_vjp
    def apply(x: Float[Array, "h w c"]) -> Float[Array, "H W c"]:
        return _upfirdn2d(x, kernel, up, down, padding)

    def adjoint(_: None, gradient: Float[Array, "H W c"]) -> tuple[Float[Array, "h w c"]]:
        # The same with `up` and `down` exchanged and the kernel turned round. Written out because the automatic one
        # adds up padded arrays: 60 instead of 12 ms for the filter at 256x256x64 on two CPU cores.
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
    """Valid true convolution as a sum of shifted views, which compilers fuse into one pass over `x`."""
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
    """Zero insertion by 2, true convolution with a 3x3 `kernel`, then the resample filter `taps`.

    Unlike in `conv2d`, the kernel acts flipped: this is a transposed convolution of stride 2 with the stored weight.
    """
    x = transposed_conv2d(x, kernel, plan)  # [2h+1, 2w+1, o]
    first, last = (len(taps) - 1) // 2, (len(taps) - 2) // 2  # 1 and 1 for four taps
    return upfirdn2d(x, _of_sum_two(taps), padding=(first, last, first, last))


def _of_sum_two(taps: Sequence[float]) -> np.ndarray:
    """Scales a filter so that it keeps the mean although every other sample along its axis is an inserted zero."""
    array = np.asarray(taps, np.float64)
    return 2 * array / array.sum()


def demodulation(kernel: Float[Array, "k k i o"], styles: Float[Array, " i"]) -> Float[Array, " o"]:
    """Scale that restores unit variance to each output channel (StyleGAN2, Eq. 3)."""
    return jax.lax.rsqrt(styles**2 @ jnp.sum(kernel**2, (0, 1)) + 1e-8)


def max_pool(x: Float[Array, "h w c"]) -> Float[Array, "h//2 w//2 c"]:
    """Largest value of each 2x2 tile; an odd last row or column is dropped."""
    height, width = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    tiles = [x[i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)]
    return jnp.maximum(jnp.maximum(tiles[0], tiles[1]), jnp.maximum(tiles[2], tiles[3]))
