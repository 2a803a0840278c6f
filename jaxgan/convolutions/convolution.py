"""The two convolutions of the networks.

GPUs get the compiler's convolution, CPUs what `cpu_convolution` finds fastest for the size. Automatic differentiation
does not look inside: both directions are written out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

from jaxgan.convolutions import cpu as cpu_convolution
from jaxgan.convolutions import winograd
from jaxgan.convolutions.cpu import PLAIN, TRANSPOSED
from jaxgan.convolutions.winograd import Transformed

MANY_CHANNELS = 128 * 256
"""Inputs times outputs of a kernel from which on Winograd's algorithm saves more than its transformations cost."""


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
    return _correlate("forward", x, kernel, transformed)


def _conv2d_backward(residuals: tuple[Array, Array, Transformed | None], gradient: Float[Array, "h w o"]):
    x, kernel, transformed = residuals
    of_x = _correlate("adjoint", gradient, kernel, transformed)
    of_kernel = jax.linear_transpose(lambda k: PLAIN.forward(x, k), kernel)(gradient)[0]  # removed where unused
    return of_x, of_kernel, None


conv2d.defvjp(
    lambda x, kernel, transformed=None: (conv2d(x, kernel, transformed), (x, kernel, transformed)), _conv2d_backward
)


def _correlate(
    direction: Literal["forward", "adjoint"], x: Array, kernel: Array, transformed: Transformed | None
) -> Array:
    def on_cpu(batch: int, x: Array, kernel: Array, transformed: Transformed | None = None) -> Array:
        algorithm = cpu_convolution.fastest(batch, x.shape, transformed) if kernel.shape[0] == 3 else PLAIN
        return getattr(algorithm, direction)(x, kernel)

    return _on_platform(x, kernel, transformed, cpu=_knowing_the_batch(on_cpu), default=getattr(PLAIN, direction))


@jax.custom_vjp
def transposed_conv2d(x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"]) -> Float[Array, "2*h+1 2*w+1 o"]:
    """Each input pixel adds the kernel, times its value, at twice its position; its adjoint is a strided one."""
    cpu = cpu_convolution.fastest_transposed(x.shape[1])
    return _on_platform(x, kernel, cpu=cpu.forward, default=TRANSPOSED.forward)


def _transposed_conv2d_backward(residuals: tuple[Array, Array], gradient: Float[Array, "H W o"]) -> tuple[Array, Array]:
    x, kernel = residuals
    cpu = cpu_convolution.fastest_transposed(x.shape[1])
    of_x = _on_platform(gradient, kernel, cpu=cpu.adjoint, default=TRANSPOSED.adjoint)
    of_kernel = jax.linear_transpose(lambda k: TRANSPOSED.forward(x, k), kernel)(gradient)[0]
    return of_x, of_kernel


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
