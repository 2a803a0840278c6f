"""Holds the convolutions of the networks; `prepare` chooses the algorithm of each one for a platform and a batch.

Layers call `conv2d` and `transposed_conv2d` with their `Plan`, which `prepare` gives them. Without a plan both are the
compiler's convolution, which works everywhere and differentiates in every mode, but is slower on CPUs.
"""

from jaxgan.convolutions.planned import Plan, conv2d, prepare, transposed_conv2d

__all__ = ["Plan", "conv2d", "prepare", "transposed_conv2d"]
