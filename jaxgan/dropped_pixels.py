"""The share of dropped pixels: of the black ones, less those that no photon reached."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgan import power_likelihood
from jaxgan.degradations import Degradation, Denoising, observed_pixels, parts_of, without_draws


def black_shares(
    observed: Float[Array, "h w 3"], degradation: Degradation
) -> tuple[Float[np.ndarray, " 4"], Float[np.ndarray, " 4"]]:
    """Computes the share of black pixels in each quarter of a picture, and that expected without any dropped pixel.

    The picture at a black pixel is taken to be the mean of its neighbours, x; none of its photons arrives with a
    probability of `exp(-n (r + g + b))`, n the photons of white.

    Args:
      observed: a picture in [-1, 1].
      degradation: the operator that led to it, with a `Denoising` in it.
    """
    (noise,) = (part for part in parts_of(without_draws(degradation)) if isinstance(part, Denoising))
    seen = observed_pixels(noise, observed.shape)
    assert seen is not None  # it is a mask
    levels = power_likelihood.filled((jnp.clip(observed, -1, 1) + 1) / 2, seen)
    unreached = jnp.exp(-noise.photons * jnp.sum(levels, -1))
    black, expected = (power_likelihood.quarters(one) for one in (1.0 - seen, unreached))
    return np.asarray(jnp.mean(black, (1, 2)), np.float64), np.asarray(jnp.mean(expected, (1, 2)), np.float64)


def share(black: Float[np.ndarray, " quarters"], expected: Float[np.ndarray, " quarters"]) -> float:
    """Computes the share of dropped pixels in some quarters together."""
    return float(np.clip((black - expected).sum() / np.maximum((1 - expected).sum(), 1e-9), 0, 1))


def losses(
    black: Float[np.ndarray, " 4"], expected: Float[np.ndarray, " 4"], shares: np.ndarray
) -> Float[np.ndarray, "k 4"]:
    """Computes the negative logarithm of the likelihood of each share, per pixel, in each quarter."""
    dark = shares[:, None] + (1 - shares[:, None]) * expected
    return -(black * np.log(dark) + (1 - black) * np.log1p(-np.minimum(dark, 1 - 1e-9)))
