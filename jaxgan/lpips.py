"""Computes LPIPS v0.1 on VGG16, a distance between images that follows human judgement better than pixels do.

References:
  Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, Eq. 1, arXiv 1801.03924.
"""

from __future__ import annotations

import functools
import operator

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, DTypeLike, Float

from jaxgan import precision
from jaxgan.errors import UserError
from jaxgan.images import check_image
from jaxgan.vgg import STAGES, VGG16

TAPS = {f"relu{stage}_{depth}": channels for stage, (channels, depth) in enumerate(STAGES, start=1)}
"""The names of the five layers of VGG16 that are compared, and the number of channels of each."""

IMAGE_SHIFT = np.array([-0.030, -0.088, -0.188], np.float32)
IMAGE_SCALE = np.array([0.458, 0.448, 0.450], np.float32)
"""ImageNet's mean (`IMAGE_SHIFT`) and standard deviation in the range [-1, 1]; VGG16 receives the mean as zeros."""

MIN_SIDE = 16
"""The smallest side of an image, in pixels, that VGG16 can halve four times."""

Features = tuple[Float[Array, "_ _ _"], ...]


def check_size(side: int) -> None:
    """Refuses a generator whose images are too small to be compared by LPIPS.

    Args:
      side: height and width of the generator's images in pixels.
    Raises:
      UserError: `side` is below `MIN_SIDE`.
    """
    if side < MIN_SIDE:
        raise UserError(
            f"this generator makes {side}x{side} images, which are too small for LPIPS (VGG16 needs "
            f"{MIN_SIDE}x{MIN_SIDE}); it can be sampled, but not inverted."
        )


def normalize_image(image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Shifts and scales RGB in [-1, 1] to the mean and variance that VGG16 was trained with."""
    return (image - IMAGE_SHIFT[None, None, :]) / IMAGE_SCALE[None, None, :]


def distance(features_a: Features, features_b: Features) -> Float[Array, ""]:
    """Sums the squared differences of two `LPIPS.features`, which gives the LPIPS distance of their images."""
    stages = (jnp.sum((a - b) ** 2, (-3, -2, -1)) for a, b in zip(features_a, features_b, strict=True))
    return functools.reduce(operator.add, stages)


class LPIPS(nnx.Module):
    """The LPIPS distance: VGG16 with a learned, non-negative weight for each channel of five of its layers."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.vgg = VGG16(rngs=rngs)
        self.lin = nnx.Dict({tap: nnx.Param(jnp.ones(channels)) for tap, channels in TAPS.items()})

    def __call__(self, image_a: Float[Array, "h w 3"], image_b: Float[Array, "h w 3"]) -> Float[Array, ""]:
        """Measures the distance of two images, in float32 on every device.

        Args:
          image_a, image_b: RGB in [-1, 1], same shape, at least 16x16.
        Returns:
          One number, 0 for equal images and about 0.7 for unrelated ones.
        Raises:
          TypeError: the values are integers.
          ValueError: the shapes differ or are too small, or the values are far outside of [-1, 1].
        """
        if image_a.shape != image_b.shape:
            raise ValueError(
                f"the images have shapes {image_a.shape} and {image_b.shape}; LPIPS compares equal shapes."
            )
        check_image(image_a, "image_a")
        check_image(image_b, "image_b")
        with precision.products("float32"):
            return distance(self.features(image_a), self.features(image_b))

    def features(self, image: Float[Array, "h w 3"], *, dtype: DTypeLike = jnp.float32) -> Features:
        """Computes five feature maps; the squared L2 distance of those of two images is their LPIPS distance.

        The features of an image that stays the same need to be computed only once.

        Args:
          image: RGB in [-1, 1], at least 16x16.
          dtype: the format of VGG16's activations and kernels (see `jaxgan.precision`). The feature maps are
            normalised in float32.
        Returns:
          The layers `TAPS` of VGG16, each of unit length over channels, times `sqrt(lin / (height * width))`.
        """
        features = []
        for tap, x in self.vgg(normalize_image(image).astype(dtype)).items():
            weight = jnp.sqrt(self.lin[tap][...] / (x.shape[0] * x.shape[1]))
            features.append(_unit_length(x.astype(jnp.promote_types(x.dtype, jnp.float32))) * weight[None, None, :])
        return tuple(features)


def _unit_length(x: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
    """Computes `x / (||x|| + 1e-10)` over channels; the gradient is zero, not NaN, where all channels are zero."""
    squares = jnp.sum(x**2, -1, keepdims=True)
    is_zero = squares == 0
    norm = jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, squares)))
    return x / (norm + 1e-10)
