"""Defines the distances that an inversion minimises between the generator's image and an observation.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, Appendix D, arXiv 1912.04958.
  Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, Sec. 3.3, arXiv 2302.06733.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxgan.degradations import Degradation, observe, observed_pixels, sample
from jaxgan.losses import at_most, average_pool
from jaxgan.lpips import Features, distance

ObjectiveName = Literal["lpips", "pyramid", "half_pyramid"]
Image = Float[Array, "_ _ 3"]

LEVELS = 6
"""LPIPS compares at most so many sizes of a pyramid."""
SMALLEST = 16
"""Images of this side are not halved any further."""
ERROR_WEIGHT = 0.1
"""The mean absolute error, which keeps the colours, has this weight."""


class Objective(NamedTuple):
    """A distance between an image and an observation, split into the constant part and that of every step.

    Attributes:
      target: the function that prepares the observation for `distance`. It takes the function that gives LPIPS
        features, the degradation, the observation, and the size that larger images are averaged down to.
      distance: the function that compares. It takes the function that gives LPIPS features, the degradation, the
        target, the generator's image (which it degrades itself), that size, and a key for its random numbers.
    """

    target: Callable[[Callable[[Image], Features], Degradation, Image, int], Any]
    distance: Callable[[Callable[[Image], Features], Degradation, Any, Image, int, PRNGKeyArray], Float[Array, ""]]


class Pyramid(NamedTuple):
    """An observation as the pyramid compares it.

    Attributes:
      images: the observation at every size that LPIPS compares, and at the size after the last halving.
      observed: the share of each pixel that is observed, at the sizes that LPIPS compares. It is empty if nothing is
        missing.
      features: the LPIPS features of the images. They are not kept where noise fills holes, as it differs every step.
    """

    images: tuple[Image, ...]
    observed: tuple[Float[Array, "_ _"], ...]
    features: tuple[Features, ...]


def compared_side(name: ObjectiveName, side: int, size: int) -> int:
    """Returns the side in pixels of the largest picture that an objective compares of images of a side.

    Args:
      name: of the objective.
      side: of the images.
      size: that larger images are averaged down to (`InversionConfig.feature_size`).
    """
    if name == "half_pyramid" and side > SMALLEST:
        side = side // 2
    return min(side, size)


def _lpips_target(features_of: Callable, degradation: Degradation, observed: Image, size: int) -> Features:
    return features_of(at_most(degradation.hide_missing(observed), size))


def _lpips(
    features_of: Callable, degradation: Degradation, target: Features, image: Image, size: int, key: PRNGKeyArray
) -> Float[Array, ""]:
    """Compares the degraded image by LPIPS, and draws nothing."""
    return distance(features_of(at_most(observe(degradation, image), size)), target)


def _pyramid_target(features_of: Callable, degradation: Degradation, observed: Image, size: int) -> Pyramid:
    degradation = sample(degradation, jax.random.key(0))  # what it hides is the same in every draw
    images = halvings(at_most(degradation.hide_missing(observed), size))
    seen = observed_pixels(degradation, observed.shape)
    if seen is None:
        return Pyramid(images, (), tuple(map(features_of, images[:-1])))
    return Pyramid(images, halvings(at_most(seen.astype(jnp.float32), size))[:-1], ())


def _pyramid(
    features_of: Callable, degradation: Degradation, target: Pyramid, image: Image, size: int, key: PRNGKeyArray
) -> Float[Array, ""]:
    """Sums LPIPS over sizes, and adds a little of the mean absolute error at the smallest size.

    A degradation with a method `sample(key)` draws random numbers, which are new in every step. Holes are filled with
    noise, which is equal in both images and new in every step and size.
    """
    of_degradation, of_noise = jax.random.split(key)
    images = halvings(at_most(observe(sample(degradation, of_degradation), image), size))
    total = ERROR_WEIGHT * jnp.mean(jnp.abs(images[-1] - target.images[-1]))
    for level, (ours, theirs) in enumerate(zip(images[:-1], target.images[:-1], strict=True)):
        if target.features:
            total += distance(features_of(ours), target.features[level])
        else:
            mask = target.observed[level][:, :, None]
            # (N(0, 1) + 1/2) / 2 in [0, 1] is N(0, 1) - 1/2 in [-1, 1].
            noise = jax.random.normal(jax.random.fold_in(of_noise, level), ours.shape) - 0.5
            filled = (mask * one + (1 - mask) * noise for one in (ours, theirs))
            total += distance(*map(features_of, filled))
    return total


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "lpips": Objective(_lpips_target, _lpips),
    "pyramid": Objective(_pyramid_target, _pyramid),
    "half_pyramid": Objective(_pyramid_target, _pyramid),
}
"""Half a pyramid differs by its `compared_side`: it leaves out the largest size, which noise and JPEG spoil most."""


def halvings(image: Float[Array, "n n *c"]) -> tuple[Float[Array, "_ _ *c"], ...]:
    """Reduces an image to the sizes of a pyramid by averages of 2x2 pixels, its own size first.

    LPIPS compares all but the last size, which is for the mean absolute error. An image of 1024 pixels gives 1024, 512,
    256, 128, 64, 32 and 16.
    """
    images = [image]
    while len(images) <= LEVELS and (len(images) == 1 or images[-1].shape[0] > SMALLEST):
        images.append(average_pool(images[-1], 2))
    return tuple(images)
