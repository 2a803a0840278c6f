"""Differentiates a convolution whose adjoint is written by hand, to every order.

`<forward(x, kernel), gradient>` is linear in each of its three arguments. So its derivative in one of them is the
function, its adjoint or the gradient of the kernel, and the derivatives of these are the same three again.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
from jaxtyping import Array

from jaxgan.convolutions.compiler import Algorithm


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def forward(algorithm: Algorithm, x: Array, kernel: Array, weights: Any) -> Array:
    """Computes `algorithm.forward`, with `algorithm.adjoint` for its derivative.

    Args:
      algorithm: the convolution and its adjoint.
      x: the image.
      kernel: the kernel, to which the derivative belongs.
      weights: the kernel in the form that the algorithm takes, which is constant to differentiation; None stands for
        the kernel itself.
    """
    return algorithm.forward(x, kernel if weights is None else weights)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def adjoint(algorithm: Algorithm, gradient: Array, kernel: Array, weights: Any) -> Array:
    """Computes `algorithm.adjoint`, with `algorithm.forward` for its derivative."""
    return algorithm.adjoint(gradient, kernel if weights is None else weights)


def _forward_backward(algorithm: Algorithm, residuals: tuple[Array, Array, Any], gradient: Array):
    x, kernel, weights = residuals
    return adjoint(algorithm, gradient, kernel, weights), _of_kernel(algorithm, x, gradient, kernel), None


def _adjoint_backward(algorithm: Algorithm, residuals: tuple[Array, Array, Any], x: Array):
    gradient, kernel, weights = residuals
    return forward(algorithm, x, kernel, weights), _of_kernel(algorithm, x, gradient, kernel), None


def _of_kernel(algorithm: Algorithm, x: Array, gradient: Array, kernel: Array) -> Array:
    # The compiler drops this where it is not used.
    return jax.linear_transpose(partial(algorithm.plain, x), kernel)(gradient)[0]


forward.defvjp(lambda algorithm, *arguments: (forward(algorithm, *arguments), arguments), _forward_backward)
adjoint.defvjp(lambda algorithm, *arguments: (adjoint(algorithm, *arguments), arguments), _adjoint_backward)
