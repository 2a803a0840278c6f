"""Defines the number formats that an inversion may compute in, and keeps float16 from overflow and underflow.

- "float32" is the format of the reference. On GPUs with tensor cores XLA would round the operands of float32 products
  to 10 bits of mantissa (TF32), so this precision asks for full products.
- "tensorfloat32" allows that rounding.
- "float16" holds activations and kernels of the large convolutions, in the synthesis blocks and in VGG16, in 16 bits.
- "bfloat16" holds those of VGG16 alone in 16 bits. In the generator its 8 bits of mantissa cost too much quality
  (experiments/BENCHMARK.md), so the generator computes in TF32.

Sums inside a convolution, styles, demodulation, the image, LPIPS, noise maps, w and Adam's moments stay float32 in all
of them. CPUs have no TF32 and compute in float32 instead. They emulate 16 bits: operands are rounded, products and sums
are float32.

References:
  Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, App. D (mixed precision),
  arXiv 2006.06676.
  Micikevicius et al., "Mixed Precision Training", 2018, Sec. 3.2 (loss scaling), arXiv 1710.03740.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Precision = Literal["float32", "tensorfloat32", "bfloat16", "float16"]
NAMES: tuple[str, ...] = get_args(Precision)


class Formats(NamedTuple):
    """Names the number formats that a precision consists of.

    Attributes:
      generator, vgg: the format of activations and kernels of the large convolutions in either network.
      products: the format in which float32 numbers are multiplied.
    """

    generator: str
    vgg: str
    products: Literal["float32", "tensorfloat32"]


FORMATS: dict[Precision, Formats] = {
    "float32": Formats("float32", "float32", "float32"),
    "tensorfloat32": Formats("float32", "float32", "tensorfloat32"),
    "bfloat16": Formats("float32", "bfloat16", "tensorfloat32"),
    "float16": Formats("float16", "float16", "float32"),
}


def products(precision: Precision) -> AbstractContextManager:
    """Makes the functions traced in this context compute float32 products as a precision asks, in full or in TF32."""
    return jax.default_matmul_precision(FORMATS[precision].products)


def prescale(
    kernel: Float[Array, "k k i o"], styles: Float[Array, " i"]
) -> tuple[Float[Array, "k k i o"], Float[Array, " i"], Float[Array, " o"]]:
    """Brings a modulated convolution into the range of float16.

    Args:
      kernel, styles: float32 values of any size.
    Returns:
      Three arrays. The kernel is divided by `sqrt(fan_in)` and by its largest magnitude in each output channel. The
      styles are divided by their largest magnitude. The scale of each output channel undoes both divisions.
      Differentiation takes the divisors for constants.
    """
    fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
    of_kernel = jax.lax.stop_gradient(jnp.max(jnp.abs(kernel), (0, 1, 2))) * fan_in**0.5  # [o]
    of_styles = jax.lax.stop_gradient(jnp.max(jnp.abs(styles)))
    of_kernel, of_styles = (jnp.where(scale > 0, scale, 1.0) for scale in (of_kernel, of_styles))
    return kernel / of_kernel[None, None, None, :], styles / of_styles, of_kernel * of_styles


def balance_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Moves the backward pass of a function into the middle of float16's range; this is loss scaling without a state.

    A backward pass is linear in the gradient that enters it. That gradient is multiplied by a power of two which makes
    its largest magnitude about 1, and the gradient that leaves is divided by the same power. Under `jax.vmap` each
    example has a power of its own.

    Args:
      function: takes and returns pytrees of float arrays, and closes over none.
    Returns:
      A function of the same values, differentiable in reverse mode.
    """

    @jax.custom_vjp
    def balanced(*arguments: Any) -> Any:
        return function(*arguments)

    def backward(pullback: Callable, gradient: Any) -> Any:
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(gradient)]))
        exponent = jnp.clip(-jnp.ceil(jnp.log2(largest)), -100.0, 100.0)  # this is 100 where all is zero
        scale = jnp.ldexp(jnp.float32(1), exponent.astype(jnp.int32))
        result = pullback(jax.tree.map(lambda leaf: leaf * scale, gradient))
        return jax.tree.map(lambda leaf: leaf / scale, result)

    balanced.defvjp(lambda *arguments: jax.vjp(function, *arguments), backward)
    return balanced
