"""Defines the convolutional trunk of VGG16.

References:
  Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014, Table 1 (D),
  arXiv 1409.1556.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxgan import ops
from jaxgan.convolutions import Plan, conv2d

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""The channels and the number of 3x3 convolutions of each stage; 2x2 max pooling lies between stages."""


class Convolution(nnx.Module):
    """A 3x3 convolution with bias and zero padding 1."""

    plan: Plan | None = None  # see `convolutions.prepare`

    def __init__(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        scale = math.sqrt(2 / (9 * in_channels))  # it keeps the variance through ReLU: He et al. 2015, arXiv 1502.01852
        self.kernel = nnx.Param(scale * jax.random.normal(rngs.params(), (3, 3, in_channels, out_channels)))
        self.bias = nnx.Param(jnp.zeros(out_channels))

    def __call__(self, x: Float[Array, "h w i"]) -> Float[Array, "h w o"]:
        x = conv2d(x, self.kernel[...].astype(x.dtype), self.plan)
        return x + self.bias[...].astype(x.dtype)[None, None, :]


class VGG16(nnx.Module):
    """The network VGG16 up to its last convolution, without the fully connected layers."""

    def __init__(self, *, rngs: nnx.Rngs):
        in_channels = 3
        for stage, (channels, depth) in enumerate(STAGES, start=1):
            for layer in range(1, depth + 1):
                setattr(self, f"conv{stage}_{layer}", Convolution(in_channels, channels, rngs=rngs))
                in_channels = channels

    def __call__(self, image: Float[Array, "h w 3"]) -> dict[str, Float[Array, "_ _ _"]]:
        """Computes the features after the last ReLU of each stage, in the number format of the image.

        Args:
          image: an image with sides of 16 pixels or more, normalised as the weights expect (see
            `lpips.normalize_image`).
        Returns:
          "relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3": `[h / 2^k, w / 2^k, channels]`, rounded down.
        """
        if min(image.shape[:2]) < 16:
            raise ValueError(f"image has shape {image.shape}; VGG16 needs at least 16x16 pixels.")
        features, x = {}, image
        for stage, (_, depth) in enumerate(STAGES, start=1):
            if stage > 1:
                x = ops.max_pool(x)
            for layer in range(1, depth + 1):
                x = jax.nn.relu(getattr(self, f"conv{stage}_{layer}")(x))
            features[f"relu{stage}_{depth}"] = x
        return features
