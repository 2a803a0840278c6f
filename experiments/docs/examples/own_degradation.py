"""Restore a video frame of which only every second row was recorded: a degradation that the library does not have.

A degradation is a function of one image. The registration as a pytree lets it pass through JAX, and a batch hold
several of them. This one is linear, so `jaxgan.restore` finds its inverse by itself; for any other, the class may
define `complete`, see `jaxgan.HasInverse`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import jaxgan


@jaxgan.pytree
@dataclasses.dataclass(frozen=True)
class Interlaced(jaxgan.CompleteObservation):
    """Observes every second row; the rows between repeat the one above, so no pixel lacks a value, as in a hole."""

    def __call__(self, image):
        return jnp.repeat(image[::2], 2, axis=0)


def restore_a_frame(frame: np.ndarray, *, model: str = "demo", steps: int = 150) -> np.ndarray:
    """The frame is float32 `[size, size, 3]` in [-1, 1], of the network's size, and has every row twice."""
    generator, lpips = jaxgan.load_generator(model), jaxgan.load_lpips()
    config = dataclasses.replace(jaxgan.InversionConfig.for_task("deblur"), steps=steps)
    result = jaxgan.invert(generator, lpips, frame, Interlaced(), config, jax.random.key(0))
    return jaxgan.restore(frame, Interlaced(), result.image)
