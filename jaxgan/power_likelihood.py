"""How likely an observation is under a degradation, told by its power at each frequency.

The network's own samples are degraded as the observation was assumed to be; their mean power is the variance that the
observation's coefficients should have. A blur that is assumed too narrow predicts fine detail that is not there, one
that is too wide predicts less than there is, and the likelihood of a normal distribution weighs both (Whittle). The
best picture for each blur would not tell: it fits the observation about as well under a wrong one (Levin et al.).

References:
  Whittle, "Estimation and Information in Stationary Time Series", 1953, Arkiv for Matematik 2(23).
  Levin et al., "Understanding and Evaluating Blind Deconvolution Algorithms", 2009, CVPR.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from jaxgan.degradations import (
    Degradation,
    Denoising,
    GaussianBlur,
    Pooling,
    observed_pixels,
    parts_of,
    without_draws,
)

QUARTERS = 4
"""A picture is looked at in quarters, whose coefficients count as independent: hair and cheeks have powers of their
own, and four estimates of one parameter tell how sure it is."""

FILLING = GaussianBlur(1.5, 11)
"""The weights of neighbours that stand in for a missing pixel."""

ROUNDING = 1 / 255**2 / 12 / 3
"""The variance that rounding to 8 bits adds to the mean of three channels, in units of the range [0, 1]."""

Powers = Float[Array, "4 h w"]


class Facts(NamedTuple):
    """The constants of a likelihood.

    Attributes:
      samples: images of the network, `[n, H, W, 3]`.
      power: the squared coefficients of each quarter of the observation.
      brightness: the variance that the noise of one photon per pixel would have in each quarter.
    """

    samples: UInt8[Array, "n H W 3"]
    power: Powers
    brightness: Float[Array, " 4"]


@jax.jit
def facts(samples: UInt8[Array, "n H W 3"], degradation: Degradation, observed: Float[Array, "H W 3"]) -> Facts:
    """Collects what stays constant, whatever the parameters of the degradation are."""
    seen = observed_pixels(without_draws(degradation), observed.shape)
    levels = (jnp.clip(observed, -1, 1) + 1) / 2
    noisy = jnp.mean(levels, -1)
    if seen is not None:
        levels, noisy = filled(levels, seen), noisy * seen
    brightness = jnp.mean(quarters(noisy), (1, 2)) / 3  # the mean of three channels has a third of the variance
    return Facts(samples, _power(jnp.mean(levels, -1)), brightness)


def variance(degradation: Degradation, facts: Facts, contrast: Float[Array, " 4"], floor: Float[Array, " 4"]) -> Powers:
    """Predicts the variance of each coefficient of each quarter of an observation.

    Args:
      degradation: the degradation, with its parameters.
      facts: the constants.
      contrast: the power of the picture in each quarter, as a multiple of that of the samples.
      floor: the variance of white noise in each quarter, besides that of photons.
    """
    signal = contrast[:, None, None] * signal_power(degradation, facts.samples)
    return signal + (noise_power(degradation, facts) + floor[:, None, None])


def signal_power(degradation: Degradation, samples: UInt8[Array, "n H W 3"]) -> Powers:
    """Computes the mean power of degraded samples, without noise."""
    degradation = without_draws(degradation)
    seen = observed_pixels(degradation, samples.shape[1:])

    def power(sample: UInt8[Array, "H W 3"]) -> Powers:
        image = degradation(sample.astype(jnp.float32) / 127.5 - 1)
        levels = (image + 1) / 2
        return _power(jnp.mean(levels if seen is None else filled(levels, seen), -1))

    return jnp.mean(jax.vmap(power)(samples), 0)


def noise_power(degradation: Degradation, facts: Facts) -> Powers:
    """Computes the variance that the noise of few photons adds to each coefficient; a tile repeats its pixel's."""
    shape = facts.power.shape[1:]
    parts = parts_of(without_draws(degradation))
    photons = [part.photons for part in parts if isinstance(part, Denoising)]
    if not photons:
        return jnp.zeros_like(facts.power)
    factors = [part.factor for part in parts if isinstance(part, Pooling)]
    rows, columns = (_power_of_tiles(side, factors[0] if factors else 1) for side in shape)
    return (facts.brightness / photons[0])[:, None, None] * (rows[:, None] * columns[None, :])[None]


def _power_of_tiles(size: int, factor: Array | int) -> Float[Array, " size"]:
    """The power of white noise of variance 1 along one axis, each of whose numbers is repeated."""
    place = jnp.arange(size)
    repeats = (place[:, None] // factor == place[None, :]).astype(jnp.float32)
    return jnp.sum(jnp.matmul(_cosines(size), repeats, precision="highest") ** 2, 1)


def mean_losses(power: Powers, variance: Powers) -> Float[Array, " 4"]:
    """The negative logarithm of the likelihood, per coefficient but the mean, of each quarter."""
    terms = power / variance + jnp.log(variance)
    return (jnp.sum(terms, (1, 2)) - terms[:, 0, 0]) / (terms[0].size - 1)


def filled(image: Float[Array, "H W 3"], seen: Bool[Array, "H W"]) -> Float[Array, "H W 3"]:
    """Puts the mean of their neighbours in the place of pixels that were not seen; far from all that of the picture."""
    known = jnp.broadcast_to(seen[:, :, None].astype(image.dtype), image.shape)
    mean = jnp.sum(known * image, (0, 1), keepdims=True) / jnp.maximum(jnp.sum(known, (0, 1), keepdims=True), 1)
    near = (FILLING(known * image) + 1e-3 * mean) / (FILLING(known) + 1e-3)
    return jnp.where(seen[:, :, None], image, near)


def _power(levels: Float[Array, "H W"]) -> Powers:
    of_quarters = quarters(levels)
    rows, columns = (_cosines(size) for size in of_quarters.shape[1:])
    return jnp.einsum("ky,qyx,lx->qkl", rows, of_quarters, columns, precision="highest") ** 2


def quarters(levels: Float[Array, "H W"]) -> Float[Array, "4 h w"]:
    """Cuts a picture into its four quarters, row by row."""
    height, width = (side // 2 for side in levels.shape)
    return levels.reshape(2, height, 2, width).swapaxes(1, 2).reshape(QUARTERS, height, width)


def _cosines(size: int) -> Float[np.ndarray, "size size"]:
    """The orthonormal DCT-II, a row per frequency."""
    frequency, place = np.mgrid[:size, :size]
    matrix = np.cos(np.pi * frequency * (place + 0.5) / size) * np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)
