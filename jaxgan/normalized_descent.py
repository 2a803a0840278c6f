"""Provides normalised gradient descent, in which every vector takes a step of a fixed length.

References:
  Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, Sec. 3.2, arXiv 2302.06733.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float


def normalize_vectors() -> optax.GradientTransformation:
    """Divides the gradient of every vector, the last axis of a leaf, by its L2 norm; it is 0 where that is not finite.

    Latents that get a small gradient move as far as all others, and a step's length knows nothing of the loss's scale.
    """
    return optax.stateless(lambda gradients, _: jax.tree.map(_unit, gradients))


def _unit(gradient: Float[Array, "*rows n"]) -> Float[Array, "*rows n"]:
    unit = gradient / jnp.linalg.norm(gradient, axis=-1, keepdims=True)
    return jnp.where(jnp.isfinite(unit), unit, 0.0)
