"""The convolutions of the networks: `prepare` chooses, for a platform and a batch, the algorithm of each one.

Layers call `conv2d` and `transposed_conv2d` with their `Plan`, which `prepare` gives them. Without a plan both are the
compiler's convolution, which works everywhere, differentiates in every mode and is slower on CPUs.
"""

from jaxgan.convolutions.planned import Plan, conv2d, prepare, transposed_conv2d

__all__ = ["Plan", "conv2d", "prepare", "transposed_conv2d"]
