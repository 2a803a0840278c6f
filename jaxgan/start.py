"""Guesses the w that an inversion begins with, by a regression on samples of the network.

The samples are degraded as the photograph was, so that the regression knows what the degradation left to be seen. It
takes no training, and gives the mean latent where the observation says nothing.

References:
  Hoerl & Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems", 1970, Technometrics 12(1); here in
  its dual form, with one unknown per sample instead of one per pixel.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from jaxgan import latents, losses, precision
from jaxgan.convolutions import prepare
from jaxgan.degradations import Degradation, observe
from jaxgan.generator import Generator, as_rgb

SIDE = 16
"""The side in pixels to which images are averaged before they are compared; it keeps colours and pose, not texture."""

RIDGE = 0.3
"""The share of the mean squared length of the centred samples that is added to the diagonal; results depend on it
little."""

AT_ONCE = 16
"""The number of samples that are synthesised, or degraded, at once."""


class Samples(NamedTuple):
    """Images of a network, and the latents that they come from.

    Attributes:
      ws: the latents, `[n, w_dim]`.
      images: the RGB images `[n, H, W, 3]`, in 8 bits to save memory.
    """

    ws: Float[Array, "n w_dim"]
    images: UInt8[Array, "n h w 3"]


def draw_samples(generator: Generator, *, samples: int, seed: int = 123, label: int | None = None) -> Samples:
    """Samples a network with its stored noise maps.

    Args:
      generator: the network.
      samples: the number of images.
      seed, label: see `latents.w_statistics`.
    """
    ws = latents.mapped_samples(generator, samples=samples, seed=seed, label=label)
    return Samples(ws, _synthesize(generator, ws, platform=jax.default_backend()))


@partial(jax.jit, static_argnames="platform")
def _synthesize(generator: Generator, ws: Float[Array, "n w_dim"], *, platform: str) -> UInt8[Array, "n h w 3"]:
    def picture(w: Float[Array, " w_dim"]) -> UInt8[Array, "h w 3"]:
        image = as_rgb(generator.synthesis(latents.broadcast(w, num_ws=generator.config.num_ws)))
        return jnp.clip(jnp.rint((image + 1) * 127.5), 0, 255).astype(jnp.uint8)

    with precision.products("float32"):
        generator = prepare(generator, platform=platform, batch=AT_ONCE)
        return jax.lax.map(picture, ws, batch_size=AT_ONCE)


def guess(samples: Samples, degradation: Degradation, observed: Float[Array, "h w 3"]) -> Float[Array, " w_dim"]:
    """Predicts w from an observed image.

    Args:
      samples: images of the network and their latents.
      degradation: the operator assumed to have made the observed image.
      observed: the observed image in [-1, 1].
    Returns:
      A combination of the samples' latents, shrunk towards their mean.
    """

    def features(picture: UInt8[Array, "h w 3"]) -> Float[Array, " f"]:
        return _reduced(observe(degradation, picture.astype(jnp.float32) / 127.5 - 1))

    with precision.products("float32"):
        x = jax.lax.map(features, samples.images, batch_size=AT_ONCE)  # [n, f]
        x_mean, w_mean = jnp.mean(x, 0), jnp.mean(samples.ws, 0)
        x, y = x - x_mean[None, :], _reduced(degradation.hide_missing(observed)) - x_mean
        gram = x @ x.T
        ridge = RIDGE * jnp.trace(gram) / len(x) + 1e-6  # above zero even if all samples are equal
        coefficients = jnp.linalg.solve(gram + ridge * jnp.eye(len(x)), x @ y)
        return w_mean + coefficients @ (samples.ws - w_mean[None, :])


def _reduced(image: Float[Array, "h w 3"]) -> Float[Array, " f"]:
    factor = max(1, image.shape[0] // SIDE)
    return losses.average_pool(image, factor).reshape(-1)
