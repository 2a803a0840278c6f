"""Defines the convolutions as the compiler writes them, which every other algorithm has to equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float


class Algorithm(NamedTuple):
    """A way to compute a function of an image `x` and a kernel that is linear in each of them.

    Attributes:
      forward: the function. It takes `x` and the weights, which are the kernel, or for Winograd its transformed form.
      adjoint: the adjoint of the function in `x`. It takes a gradient and the same weights.
      plain: the function as the compiler writes it. It takes `x` and the kernel, and gives the gradient of the kernel.
    """

    forward: Callable[[Array, Any], Array]
    adjoint: Callable[[Array, Any], Array]
    plain: Callable[[Array, Array], Array]


def convolve(x: Array, kernel: Array, padding: Any, *, strides=(1, 1), lhs_dilation=(1, 1)) -> Array:
    """Correlates one image `[h, w, i]` with a kernel `[k, k, i, o]` by the compiler's convolution."""
    return jax.lax.conv_general_dilated(
        x[None], kernel, strides, padding, lhs_dilation, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0]


def flip(kernel: Float[Array, "k k i o"]) -> Float[Array, "k k o i"]:
    """Returns the kernel of the adjoint of a correlation."""
    return kernel[::-1, ::-1].swapaxes(2, 3)


def same(x: Float[Array, "h w i"], kernel: Float[Array, "k k i o"]) -> Float[Array, "h w o"]:
    """Correlates with zero padding that keeps the size."""
    return convolve(x, kernel, "SAME")


def same_adjoint(gradient: Float[Array, "h w o"], kernel: Float[Array, "k k i o"]) -> Float[Array, "h w i"]:
    """Applies the adjoint of `same` in the image."""
    return same(gradient, flip(kernel))


def transposed(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "2*h+1 2*w+1 o"]:
    """Adds the kernel, times the value of each input pixel, at twice the position of that pixel."""
    return convolve(x, kernel[::-1, ::-1], ((2, 2), (2, 2)), lhs_dilation=(2, 2))


def strided(gradient: Float[Array, "H W o"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "h w i"]:
    """Applies the adjoint of `transposed` in the image."""
    return convolve(gradient, kernel.swapaxes(2, 3), "VALID", strides=(2, 2))


SAME = Algorithm(same, same_adjoint, same)
"""The compiler's convolution of stride 1."""
TRANSPOSED = Algorithm(transposed, strided, transposed)
"""The compiler's transposed convolution of stride 2."""
