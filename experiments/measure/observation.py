"""What is observed of many images at once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan import images
from jaxgan.degradations import Degradation
from jaxgan.degradations import observe as observe_one


@jax.jit
def degrade_all(degradations: Degradation, batch: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Degrades each image of a batch by its own degradation."""
    return jax.vmap(observe_one)(degradations, batch)


def observe(degradations: Degradation, truths: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Gives what a camera would have stored of each image: degraded, clipped and rounded to 8 bits."""
    return jnp.asarray(images.to_float(images.to_uint8(np.asarray(degrade_all(degradations, truths)))))
