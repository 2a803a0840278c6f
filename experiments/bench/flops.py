"""What a step of the projector costs on paper, and what devices can do: for the share of the peak that is reached.

Counted are the multiplications and additions of all convolutions and matrix products of the synthesis network and of
VGG16, forwards and backwards to their inputs; kernels are fixed and need no gradient. An up-convolution counts as a
transposed convolution (zeros that it inserts are not counted), borders as if there were pixels beyond. Filters, noise,
activations and Adam are left out: they are limited by memory, and are a few per cent of the arithmetic.
"""

from __future__ import annotations

from jaxgan.generator_config import GeneratorConfig
from jaxgan.precision import FORMATS, Precision
from jaxgan.vgg import STAGES


def of_convolution(pixels: int, in_channels: int, out_channels: int, taps: int = 9) -> int:
    """Floating-point operations of a convolution over so many pixels, forwards: a product and a sum per weight."""
    return 2 * pixels * in_channels * out_channels * taps


def of_synthesis(config: GeneratorConfig) -> int:
    """Floating-point operations of the synthesis of one image, forwards ("skip" architecture)."""
    total = 0
    for resolution in config.block_resolutions:
        channels, pixels = config.channels(resolution), resolution**2
        if resolution > 4:
            total += of_convolution(pixels // 4, config.channels(resolution // 2), channels)  # conv0, at its input
        total += of_convolution(pixels, channels, channels)
        total += of_convolution(pixels, channels, config.image_channels, taps=1)
    return total


def of_features(size: int) -> int:
    """Floating-point operations of VGG16's convolutions over an image of `size` x `size` pixels, forwards."""
    total, in_channels = 0, 3
    for stage, (channels, depth) in enumerate(STAGES):
        for _ in range(depth):
            total += of_convolution((size // 2**stage) ** 2, in_channels, channels)
            in_channels = channels
    return total


def of_step(config: GeneratorConfig, feature_size: int = 256) -> int:
    """Floating-point operations of one optimisation step of one image: the gradient to the inputs doubles them."""
    return 2 * (of_synthesis(config) + of_features(min(config.resolution, feature_size)))


PEAKS = {
    "NVIDIA H100 PCIe": {"float32": 51, "tensorfloat32": 378, "bfloat16": 756, "float16": 756},
    "NVIDIA H100 80GB HBM3": {"float32": 67, "tensorfloat32": 495, "bfloat16": 989, "float16": 989},  # SXM
    "NVIDIA H200": {"float32": 67, "tensorfloat32": 495, "bfloat16": 989, "float16": 989},  # SXM
}
"""TFLOP/s without sparsity, by JAX's `device_kind`: NVIDIA's data sheets "H100 Tensor Core GPU" and "H200 Tensor Core
GPU", whose numbers for tensor cores are with sparsity and were halved."""


def peak_of_step(
    config: GeneratorConfig, device_kind: str, precision: Precision, feature_size: int = 256
) -> float | None:
    """TFLOP/s of a step whose every product runs at its format's published peak; None for a device without an entry."""
    if device_kind not in PEAKS:
        return None
    formats, peaks = FORMATS[precision], PEAKS[device_kind]
    synthesis, features = of_synthesis(config), of_features(min(config.resolution, feature_size))
    of_generator, of_vgg = (peaks[formats.products if f == "float32" else f] for f in (formats.generator, formats.vgg))
    return (synthesis + features) / (synthesis / of_generator + features / of_vgg)


def measured_cpu_tflops(size: int = 2048, repeats: int = 5) -> float:
    """Fastest float32 product of two large matrices on this CPU: the peak that programs can hope for here."""
    import time

    import jax
    import jax.numpy as jnp

    with jax.default_device(jax.devices("cpu")[0]):
        matrix = jnp.ones((size, size))
        multiply = jax.jit(jnp.matmul).lower(matrix, matrix).compile()
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            multiply(matrix, matrix).block_until_ready()
            seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds) / 1e12
