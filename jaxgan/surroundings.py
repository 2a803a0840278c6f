"""What a synthesis layer does before and after its convolution, with two ways to differentiate it.

On a GPU this takes longer than the convolution: it multiplies and adds once for each number that it moves. The
automatic derivative keeps the features before and after the nonlinearity, and writes the gradient before the noise in
float32. The lean one keeps the result alone: the sign before the nonlinearity, and whether the clamp was reached, can
be read off it, and so can the features before it. On a CPU, which computes more slowly than it reads, the lean one
takes longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan import ops
from jaxgan.convolutions import Plan

_Residuals = tuple[Array, Array, Array, Array]


class Surroundings(NamedTuple):
    """The three functions that surround the convolutions of a synthesis block.

    Attributes:
      modulate, finish, to_colours: as the functions of these names in this file.
    """

    modulate: Callable[..., Array]
    finish: Callable[..., Array]
    to_colours: Callable[..., Array]


def modulate(x: Float[Array, "h w i"], styles: Float[Array, " i"]) -> Float[Array, "h w i"]:
    """Scales each channel, in the format of `x`."""
    return x * styles.astype(x.dtype)[None, None, :]


def finish(
    x: Float[Array, "h w o"],
    scale: Float[Array, " o"],
    noise: Float[Array, "h w"],
    bias: Float[Array, " o"],
    gain: float,
    limit: float | None,
) -> Float[Array, "h w o"]:
    """Demodulation, noise, bias, leaky ReLU and clamp, in float32 before the result is rounded to the format of `x`.

    Args:
      x: result of the convolution.
      scale: positive, of each channel.
      noise: added to all channels.
      bias: added to each channel.
      gain: positive factor after the leaky ReLU.
      limit: the result is clipped to [-limit, limit]; None for no limit.
    """
    before = x * scale[None, None, :] + noise[:, :, None] + bias[None, None, :]
    return ops.clamp(ops.leaky_relu(before, gain=gain), limit).astype(x.dtype)


def to_colours(x: Float[Array, "h w i"], kernel: Float[Array, "i c"]) -> Float[Array, "h w c"]:
    """Matrix product with few columns, the colours, in at least float32."""
    return jnp.matmul(x, kernel.astype(x.dtype), preferred_element_type=jnp.promote_types(x.dtype, jnp.float32))


PLAIN = Surroundings(modulate, finish, to_colours)
"""Differentiated automatically, in every mode and order."""

_modulate, _to_colours = jax.custom_vjp(modulate), jax.custom_vjp(to_colours)
_finish = jax.custom_vjp(finish, nondiff_argnums=(4, 5))


def _finish_forward(
    x: Array, scale: Array, noise: Array, bias: Array, gain: float, limit: float | None
) -> tuple[Array, _Residuals]:
    y = _finish(x, scale, noise, bias, gain, limit)
    return y, (y, scale, noise, bias)


def _finish_backward(
    gain: float, limit: float | None, residuals: _Residuals, gradient: Float[Array, "h w o"]
) -> tuple[Array, Array, Array, Array]:
    y, scale, noise, bias = residuals
    slope = jnp.where(y > 0, gain, 0.2 * gain).astype(scale.dtype)
    before = y / slope
    if limit is not None:
        slope = jnp.where(jnp.abs(y) < limit, slope, 0)
    of_sum = gradient * slope  # float32, as everything that is summed up here
    # Fenced off, so that the gradient of the noise is read from what is written anyway, in the format of `x`.
    of_x = jax.lax.optimization_barrier((of_sum * scale[None, None, :]).astype(y.dtype))
    of_noise = jnp.sum(of_x / scale[None, None, :], -1)
    convolved = (before - noise[:, :, None] - bias[None, None, :]) / scale[None, None, :]
    return of_x, jnp.sum(of_sum * convolved, (0, 1)), of_noise, jnp.sum(of_sum, (0, 1))


def _modulate_backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    """Sums up the gradient of the styles in float32."""
    x, styles = residuals
    of_styles = jnp.sum(gradient.astype(styles.dtype) * x.astype(styles.dtype), (0, 1))
    return _modulate(gradient, styles), of_styles


def _to_colours_backward(residuals: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    """Writes the gradient of `x` as a sum of products, which the compiler fuses with what reads it."""
    x, kernel = residuals
    columns = [gradient[:, :, c, None] * kernel[None, None, :, c] for c in range(kernel.shape[1])]
    of_kernel = jnp.einsum("hwi,hwc->ic", x, gradient.astype(x.dtype), preferred_element_type=kernel.dtype)
    return sum(columns[1:], columns[0]).astype(x.dtype), of_kernel


_finish.defvjp(_finish_forward, _finish_backward)
_modulate.defvjp(lambda x, styles: (_modulate(x, styles), (x, styles)), _modulate_backward)
_to_colours.defvjp(lambda x, kernel: (_to_colours(x, kernel), (x, kernel)), _to_colours_backward)

LEAN = Surroundings(_modulate, _finish, _to_colours)
"""Differentiated by hand, backwards, in every order: less is kept and written."""


def of(plan: Plan | None) -> Surroundings:
    """The surroundings of a layer that is prepared with a plan, or of one that is not."""
    return PLAIN if plan is None or plan.platform == "cpu" else LEAN
