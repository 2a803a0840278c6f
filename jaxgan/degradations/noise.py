"""Noise of few photons and dropped pixels: its mean, and draws of it.

References:
  Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, Section 4, arXiv 2302.06733.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxgan.degradations.pixels import Mask
from jaxgan.degradations.protocol import CompleteObservation, Degradation, pytree


@pytree
@dataclasses.dataclass(frozen=True)
class Denoising(Mask):
    """The mean of a noisy observation: the image itself, of which the dropped pixels are missing (task `denoise`).

    Attributes:
      mask: `[H, W]`, 0 where all channels of the observation are black, that is dropped.
      photons: as many stand for white; the noise's variance is `x / photons` for x in [0, 1], `[]`.
    """

    photons: Any

    @classmethod
    def of(cls, observed: Float[Array, "h w 3"], photons: float) -> Denoising:
        """Takes the pixels that are black in an observation in [-1, 1] for dropped ones."""
        return cls(jnp.asarray(jnp.any(observed > -1 + 1 / 255, -1), jnp.float32), jnp.float32(photons))


@pytree
@dataclasses.dataclass(frozen=True)
class Dimming(CompleteObservation):
    """The mean of a noisy observation where no one knows which pixels were dropped.

    Attributes:
      drop: share of the pixels that became black, `[]`.
    """

    drop: Any

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return (1 - self.drop) * (image + 1) - 1


@pytree
@dataclasses.dataclass(frozen=True)
class ShotNoise(CompleteObservation):
    """Draws what few photons and dropped pixels make of an image, once `sample` gave it a key; before, it is the mean.

    A draw darkens by half a photon, as the paper's does, and its clipping lets gradients pass.

    Attributes:
      mean: what is assumed where nothing is drawn, a `Denoising` or `Dimming`.
      photons: as many stand for white, `[]`.
      drop: share of pixels that become black, `[]`.
      key_data: of a JAX key, see `jax.random.key_data`; None to draw nothing.
    """

    mean: Degradation
    photons: Any
    drop: Any
    key_data: Any = None

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        if self.key_data is None:
            return self.mean(image)
        noise_key, drop_key = jax.random.split(jax.random.wrap_key_data(self.key_data))
        expected = self.photons * (image + 1) / 2
        spread = jnp.sqrt(jnp.maximum(expected, 0) + 1e-3)
        counted = expected - 0.5 + spread * jax.random.normal(noise_key, image.shape)
        kept = jax.random.uniform(drop_key, image.shape[:2]) >= self.drop
        return 2 * jnp.where(kept[:, :, None], _softly_clipped(counted / self.photons), 0) - 1

    def sample(self, key: PRNGKeyArray) -> ShotNoise:
        """A draw, by a key of its own."""
        return dataclasses.replace(self, key_data=jax.random.key_data(key))


def _softly_clipped(levels: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Clips to [0, 1]; the gradient is that of `sigmoid(2 (x - 1/2))`."""
    soft = jax.nn.sigmoid(2 * (levels - 0.5))
    return soft + jax.lax.stop_gradient(jnp.clip(levels, 0, 1) - soft)
