"""The number formats an inversion may compute in, and what keeps float16 from overflow and underflow.

float32 is what the reference computes in. On GPUs with tensor cores XLA would round the operands of float32 products to
10 bits of mantissa (TF32) unless told otherwise, so "float32" asks for full products and "tensorfloat32" for those.
"float16" holds activations and kernels of the large convolutions (synthesis blocks, VGG16) in 16 bits, "bfloat16" those
of VGG16 only: 8 bits of mantissa in the generator, of which "bfloat16" asks TF32, ended at a LPIPS 6 % above that of
float32 (experiments/BENCHMARK.md). Sums inside a convolution, styles, demodulation, the image, LPIPS, noise maps, w and
Adam's moments stay float32. On CPUs TF32 is float32, and 16 bits are emulated: operands are rounded, products and sums
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
    """What a precision stands for.

    Attributes:
      generator, vgg: what activations and kernels of the large convolutions are stored in.
      products: how float32 numbers are multiplied.
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
    """Functions traced in this context compute float32 products in full, or in TF32 where that is asked for."""
    return jax.default_matmul_precision(FORMATS[precision].products)


def prescale(
    kernel: Float[Array, "k k i o"], styles: Float[Array, " i"]
) -> tuple[Float[Array, "k k i o"], Float[Array, " i"], Float[Array, " o"]]:
    """Brings a modulated convolution into the range of float16.

    Returns:
      The kernel divided by `sqrt(fan_in)` and its largest magnitude per output channel, the styles divided by theirs,
      and the scale of each output channel that undoes both. The scales are constants to differentiation.
    """
    fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
    of_kernel = jax.lax.stop_gradient(jnp.max(jnp.abs(kernel), (0, 1, 2))) * fan_in**0.5  # [o]
    of_styles = jax.lax.stop_gradient(jnp.max(jnp.abs(styles)))
    of_kernel, of_styles = (jnp.where(scale > 0, scale, 1.0) for scale in (of_kernel, of_styles))
    return kernel / of_kernel[None, None, None, :], styles / of_styles, of_kernel * of_styles


def balance_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` with a backward pass in the middle of float16's range: loss scaling that needs no state.

    A backward pass is linear in what comes in. So that is brought to a largest magnitude of about 1, by a power of two,
    and what comes out is scaled back; under `jax.vmap` each example by itself.

    Args:
      function: takes and returns pytrees of float arrays; closes over none.
    """

    @jax.custom_vjp
    def balanced(*arguments: Any) -> Any:
        return function(*arguments)

    def backward(pullback: Callable, gradient: Any) -> Any:
        largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(gradient)]))
        exponent = jnp.clip(-jnp.ceil(jnp.log2(largest)), -100.0, 100.0)  # 100 where all is zero
        scale = jnp.ldexp(jnp.float32(1), exponent.astype(jnp.int32))
        result = pullback(jax.tree.map(lambda leaf: leaf * scale, gradient))
        return jax.tree.map(lambda leaf: leaf / scale, result)

    balanced.defvjp(lambda *arguments: jax.vjp(function, *arguments), backward)
    return balanced
