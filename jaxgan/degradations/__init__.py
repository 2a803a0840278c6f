"""Forward operators: how an observed photograph came out of the true image. Each maps one image to one image.

They are small pytrees whose parameters (mask, sigma) are leaves, so one batch may hold different ones:
`jax.vmap(lambda degradation, image: degradation(image))(degradations, images)`. They are what an optimiser assumes;
`jaxgan.truths` has what damages a photograph.
"""

from jaxgan.degradations.blur import GaussianBlur, MotionBlur
from jaxgan.degradations.chain import Compose, parts_of, without_draws
from jaxgan.degradations.checking import check_degradation
from jaxgan.degradations.jpeg import JPEG
from jaxgan.degradations.noise import Denoising, Dimming, ShotNoise
from jaxgan.degradations.pixels import Grayscale, Identity, Mask
from jaxgan.degradations.protocol import (
    CompleteObservation,
    Degradation,
    degrade,
    observe,
    observed_pixels,
    pytree,
    sample,
)
from jaxgan.degradations.reduction import Pooling

__all__ = [
    "JPEG",
    "CompleteObservation",
    "Compose",
    "Degradation",
    "Denoising",
    "Dimming",
    "GaussianBlur",
    "Grayscale",
    "Identity",
    "Mask",
    "MotionBlur",
    "Pooling",
    "ShotNoise",
    "check_degradation",
    "degrade",
    "observe",
    "observed_pixels",
    "parts_of",
    "pytree",
    "sample",
    "without_draws",
]
