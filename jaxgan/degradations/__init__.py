"""Forward operators: how an observed photograph came out of the true image. Each maps one image to one image.

They are small pytrees whose parameters (mask, sigma) are leaves, so one batch may hold different ones:
`jax.vmap(lambda degradation, image: degradation(image))(degradations, images)`.
"""

from jaxgan.degradations.blur import GaussianBlur
from jaxgan.degradations.chain import Compose, parts_of
from jaxgan.degradations.pixels import Grayscale, Identity, Mask
from jaxgan.degradations.protocol import CompleteObservation, Degradation, observe, pytree

__all__ = [
    "CompleteObservation",
    "Compose",
    "Degradation",
    "GaussianBlur",
    "Grayscale",
    "Identity",
    "Mask",
    "observe",
    "parts_of",
    "pytree",
]
