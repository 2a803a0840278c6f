"""Computes the terms that an inversion minimises besides the LPIPS distance; each gives one number per image.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, Appendix D, arXiv 1912.04958.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgan.latents import NoiseMaps


def noise_regularizer(noise: NoiseMaps) -> Float[Array, ""]:
    """Sums the squared correlations of each noise map with itself shifted by one pixel, at every size down to 8x8.

    Without this term the maps would carry the picture. Averages of 2x2 pixels make the smaller sizes, and shifts wrap
    around.
    """
    total = jnp.zeros(())
    for map_ in noise:
        while True:
            total += sum(jnp.mean(map_ * jnp.roll(map_, 1, axis)) ** 2 for axis in (0, 1))
            if map_.shape[0] <= 8:
                break
            map_ = average_pool(map_, 2)
    return total


def latent_distance(w: Float[Array, "*rows w_dim"], w_avg: Float[Array, " w_dim"]) -> Float[Array, ""]:
    """Computes the mean squared distance of w, or of every row of a W+ latent, from the mean latent."""
    return jnp.mean((w - jnp.broadcast_to(w_avg, w.shape)) ** 2)


def average_pool(x: Float[Array, "h w *c"], factor: int) -> Float[Array, "_ _ *c"]:
    """Averages tiles of `factor` x `factor` pixels."""
    height, width = x.shape[0] // factor, x.shape[1] // factor
    return jnp.mean(x.reshape(height, factor, width, factor, *x.shape[2:]), (1, 3))


def at_most(image: Float[Array, "n n *c"], size: int) -> Float[Array, "_ _ *c"]:
    """Reduces a square image that is larger than a size to it, see `area_resize`; returns any other as it is."""
    return area_resize(image, size) if image.shape[0] > size else image


def area_resize(image: Float[Array, "n n c"], size: int) -> Float[Array, "{size} {size} c"]:
    """Reduces a square image: each new pixel is the mean of the area it covers, parts of pixels counted as parts.

    Args:
      image: a square image of `n` x `n` pixels.
      size: the side of the result, from 1 to `n`.
    Raises:
      ValueError: the image is smaller than the result would be.
    """
    before = image.shape[0]
    if not 1 <= size <= before:
        raise ValueError(f"size is {size}; expected 1 to {before}, the size of the image.")
    if before % size == 0:
        return average_pool(image, before // size)
    # In units of 1 / size of an old pixel, old pixel j lies from j * size on, new pixel i from i * before on.
    new, old = jnp.arange(size)[:, None] * before, jnp.arange(before)[None, :] * size
    common = jnp.minimum(new + before, old + size) - jnp.maximum(new, old)
    weights = jnp.maximum(common, 0).astype(jnp.float32) / before  # [size, before], rows sum to 1
    return jnp.einsum("yh,xw,hwc->yxc", weights, weights, image, precision="highest")
