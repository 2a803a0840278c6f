"""What is observed of many images at once, by what is assumed or by what really happens."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan import images, truths
from jaxgan.degradations import Degradation
from jaxgan.degradations import observe as observe_one
from jaxgan.truths import Truth


@jax.jit
def degrade_all(degradations: Degradation, batch: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Degrades each image of a batch by its own degradation."""
    return jax.vmap(observe_one)(degradations, batch)


def observe(degradations: Degradation, truths: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Gives what a camera would have stored of each image: degraded, clipped and rounded to 8 bits."""
    return jnp.asarray(images.to_float(images.to_uint8(np.asarray(degrade_all(degradations, truths)))))


def damage(
    chains: Sequence[Sequence[Truth]], truths_: Float[np.ndarray, "n h w 3"], seeds: Sequence[int]
) -> tuple[Float[Array, "n h w 3"], list[Degradation]]:
    """Damages each image by its own chain.

    Args:
      chains: what happens, the same kinds for all images.
      truths_: the images.
      seeds: of the damages.
    Returns:
      What is observed, and the degradation to assume for each.
    """
    observed, assumed = [], []
    for chain, truth, seed in zip(chains, truths_, seeds, strict=True):
        seen = jnp.asarray(images.to_float(truths.damage(chain, images.to_uint8(truth), seed)))
        assumed.append(truths.assumed(chain, seen))
        observed.append(assumed[-1].hide_missing(seen))
    levels = images.to_uint8(np.asarray(jnp.stack(observed)))
    return jnp.asarray(images.to_float(levels)), assumed


def stack(degradations: Sequence[Degradation]) -> Degradation:
    """Degradations of one kind as one pytree with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *degradations)
