"""Computes the two convolutions of the networks by the algorithm that a plan chose for them."""

from __future__ import annotations

from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxgan.convolutions import compiler, cpu, differentiation, winograd
from jaxgan.convolutions.compiler import Algorithm
from jaxgan.convolutions.winograd import Transformed

Network = TypeVar("Network", bound=nnx.Module)

MOST_MERGED_CHANNELS = 64
"""Of the result of an up-convolution on a GPU whose filter is merged into its kernel."""


class Plan(nnx.Module):
    """The choices of how a layer convolves, which are made before it runs.

    Attributes:
      platform: the platform that it runs on, in JAX's words: "cpu", "cuda", ...
      batch: the number of images that one device convolves at once.
      transformed: the kernel in Winograd's form where that may pay, else None.
    """

    def __init__(self, platform: str, batch: int, transformed: Transformed | None):
        self.platform = platform
        self.batch = batch
        self.transformed = nnx.data(transformed)

    def merges_filters(self, kernel_shape: tuple[int, ...]) -> bool:
        """Whether an up-convolution takes its resample filter into its kernel `[3, 3, i, o]`.

        This is four times the arithmetic and saves two passes over the features: right for GPUs, where layers of few
        channels wait for memory (at 512 and 1024 pixels in configuration F).
        """
        return self.platform != "cpu" and kernel_shape[3] <= MOST_MERGED_CHANNELS


def prepare(network: Network, *, platform: str, batch: int) -> Network:
    """Chooses how each layer of a network convolves.

    CPUs get the algorithms of `cpu`, every other platform the compiler's convolution in the format of its operands.
    Kernels for Winograd's algorithm are transformed here: call this inside the compiled program, before its loop, so
    that those that the sizes of the images leave unused are never computed. A network whose kernels change afterwards
    must be prepared again; where kernels are trained, prepare inside the function that is differentiated.

    Args:
      network: a network, whose layers with an attribute `plan` are prepared; the argument itself stays as it is.
      platform: the platform that the program runs on, "cpu", "cuda", ..., which may differ from that of this process.
      batch: the number of images that one device works on at once, i.e. the size of the `jax.vmap` around the network.
    Returns:
      A network of the same weights, with plans.
    Raises:
      ValueError: `batch` is below 1.
    """
    if batch < 1:
        raise ValueError(f"batch is {batch}; expected the number of images at once, 1 or more.")
    network = jax.tree.map(lambda leaf: leaf, network)
    for _, layer in list(nnx.iter_modules(network)):
        if hasattr(layer, "plan") and hasattr(layer, "kernel"):
            kernel = layer.kernel[...]
            may_pay = platform == "cpu" and winograd.may_pay(kernel.shape)
            layer.plan = Plan(platform, batch, winograd.transform(kernel) if may_pay else None)
    return network


def conv2d(
    x: Float[Array, "h w i"], kernel: Float[Array, "k k i o"], plan: Plan | None = None
) -> Float[Array, "h w o"]:
    """Correlates with an odd kernel, zero padding and stride 1.

    Args:
      x: the image.
      kernel: the kernel, in the format of `x`; in 16 bits products are summed in float32 and rounded at the end.
      plan: the plan of the layer; None takes the compiler's convolution.
    """
    if plan is None or plan.platform != "cpu":
        return _by_compiler(compiler.SAME, x, kernel, plan)
    in_float32 = x.dtype.itemsize >= 4
    transformed = plan.transformed if in_float32 else None  # in 16 bits the kernel itself is rounded
    algorithm = cpu.correlation(plan.batch, x.shape, kernel.shape, is_transformed=transformed is not None)
    return _by_hand(algorithm, x, kernel, transformed if algorithm is cpu.WINOGRAD else None)


def transposed_conv2d(
    x: Float[Array, "h w i"], kernel: Float[Array, "3 3 i o"], plan: Plan | None = None
) -> Float[Array, "2*h+1 2*w+1 o"]:
    """Adds the kernel, times the value of each input pixel, at twice the position of that pixel.

    Args:
      x, kernel, plan: see `conv2d`.
    """
    if plan is None or plan.platform != "cpu":
        return _by_compiler(compiler.TRANSPOSED, x, kernel, plan)
    return _by_hand(cpu.transposed(x.shape), x, kernel, None)


def _by_compiler(algorithm: Algorithm, x: Array, kernel: Array, plan: Plan | None) -> Array:
    """Convolves with automatic derivatives; in 16 bits where the platform is known to have such arithmetic."""
    if plan is None:
        return algorithm.forward(*_at_least_float32(x, kernel)).astype(x.dtype)
    return algorithm.forward(x, kernel)


def _by_hand(algorithm: Algorithm, x: Array, kernel: Array, transformed: Transformed | None) -> Array:
    return differentiation.forward(algorithm, *_at_least_float32(x, kernel), transformed).astype(x.dtype)


def _at_least_float32(x: Array, kernel: Array) -> tuple[Array, Array]:
    """Widens operands that were rounded to 16 bits, so that their products are exact as in tensor cores."""
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    return x.astype(dtype), kernel.astype(dtype)
