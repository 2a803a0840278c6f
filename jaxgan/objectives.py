"""What an inversion minimises between the generator's image and an observation: LPIPS, or a pyramid of it.

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

from jaxgan.degradations import Degradation, observe
from jaxgan.losses import area_resize, average_pool
from jaxgan.lpips import Features, distance

ObjectiveName = Literal["lpips", "pyramid"]
Image = Float[Array, "_ _ 3"]

LEVELS = 6
"""Most sizes of a pyramid that LPIPS compares."""
SMALLEST = 16
"""Side of images that are not halved any further."""
ERROR_WEIGHT = 0.1
"""Weight of the mean absolute error, whose part in the loss is to keep the colours."""


class Objective(NamedTuple):
    """A distance between an image and an observation, in two steps: what is constant of it is computed once.

    Attributes:
      target: of the function that gives LPIPS features, the degradation, the observation and the size that larger
        images are averaged down to; the result is for `distance`.
      distance: of the function that gives LPIPS features, the degradation, the target, the generator's image (not
        degraded), that size, and a key of whatever it draws.
    """

    target: Callable[[Callable[[Image], Features], Degradation, Image, int], Any]
    distance: Callable[[Callable[[Image], Features], Degradation, Any, Image, int, PRNGKeyArray], Float[Array, ""]]


class Pyramid(NamedTuple):
    """An observation as the pyramid compares it.

    Attributes:
      images: at every size that LPIPS compares, and at that after the last halving.
      observed: share of each pixel that is observed, at the sizes that LPIPS compares; empty if nothing is missing.
      features: of these images; empty where noise fills the holes, which is other noise in every step.
    """

    images: tuple[Image, ...]
    observed: tuple[Float[Array, "_ _"], ...]
    features: tuple[Features, ...]


def _lpips_target(features_of: Callable, degradation: Degradation, observed: Image, size: int) -> Features:
    return features_of(_at_most(degradation.hide_missing(observed), size))


def _lpips(
    features_of: Callable, degradation: Degradation, target: Features, image: Image, size: int, key: PRNGKeyArray
) -> Float[Array, ""]:
    """LPIPS of the degraded image; nothing is drawn."""
    return distance(features_of(_at_most(observe(degradation, image), size)), target)


def _pyramid_target(features_of: Callable, degradation: Degradation, observed: Image, size: int) -> Pyramid:
    degradation = sample(degradation, jax.random.key(0))  # what it hides is the same in every draw
    images = halvings(_at_most(degradation.hide_missing(observed), size))
    mask = _mask(degradation, observed.shape)
    if mask is None:
        return Pyramid(images, (), tuple(map(features_of, images[:-1])))
    return Pyramid(images, halvings(_at_most(mask, size))[:-1], ())


def _pyramid(
    features_of: Callable, degradation: Degradation, target: Pyramid, image: Image, size: int, key: PRNGKeyArray
) -> Float[Array, ""]:
    """LPIPS summed over sizes, and a little of the mean absolute error at the smallest.

    A degradation with a method `sample(key)` is one of chance, and drawn anew. Holes are filled with noise, which is
    the same in both images and another in every step and size.
    """
    of_degradation, of_noise = jax.random.split(key)
    images = halvings(_at_most(observe(sample(degradation, of_degradation), image), size))
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
}


def sample(degradation: Degradation, key: PRNGKeyArray) -> Degradation:
    """A draw of a degradation that has a method `sample(key)`; any other one as it is."""
    draw = getattr(degradation, "sample", None)
    return degradation if draw is None else draw(key)


def halvings(image: Float[Array, "n n *c"]) -> tuple[Float[Array, "_ _ *c"], ...]:
    """An image at the sizes of a pyramid: its own and, by averages of 2x2 pixels, those that LPIPS compares besides.

    The last, one halving below these, is for the mean absolute error: 1024, 512, 256, 128, 64, 32 and 16.
    """
    images = [image]
    while len(images) <= LEVELS and (len(images) == 1 or images[-1].shape[0] > SMALLEST):
        images.append(average_pool(images[-1], 2))
    return tuple(images)


def _mask(degradation: Degradation, shape: tuple[int, ...]) -> Float[Array, "h w"] | None:
    """1 where a pixel is observed, 0 where it is missing; None if none can be."""
    blank = jnp.zeros(shape)
    hidden = degradation.hide_missing(blank)
    return None if hidden is blank else jnp.where(jnp.any(hidden != 0, -1), 0.0, 1.0)


def _at_most(image: Float[Array, "n n *c"], size: int) -> Float[Array, "_ _ *c"]:
    return area_resize(image, size) if image.shape[0] > size else image
