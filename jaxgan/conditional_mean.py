"""Inverts a linear degradation with white noise, `S A' (A S A' + s^2)^-1`, by conjugate gradients.

A is the degradation, any function that `jax.linear_transpose` can transpose. It is applied exactly, in float64 on the
CPU, and not approximated by an operator that is diagonal in some basis. S is the covariance of the picture that is
sought; it is diagonal in the DCT of decorrelated colours. The noise has standard deviation s.

References:
  Hestenes & Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems", 1952, J. Res. NBS 49.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage, optimize

from jaxgan import spectra
from jaxgan.degradations import degrade

PROBES = 8
"""Pictures drawn from S; their degraded power, smoothed over neighbours, estimates the diagonal of `A S A'`."""

MOST_STEPS = 500
"""The limit of steps of conjugate gradients, met where the noise is small and the operator hides most frequencies."""

Levels = Float[np.ndarray, "h w 3"]


class LinearMap(NamedTuple):
    """A linear degradation between pictures of one shape, up to a constant.

    Attributes:
      forward, transpose: the map and its transpose, functions of float64 arrays.
      known: True where the result is observed; elsewhere `forward` gives zero.
      offset: the constant, the degradation of an image of zeros.
    """

    forward: Callable[[Levels], Levels]
    transpose: Callable[[Levels], Levels]
    known: Bool[np.ndarray, "h w"]
    offset: Levels


class Covariance(NamedTuple):
    """The covariance S of pictures whose DCT coefficients are independent in decorrelated colours.

    Attributes:
      colours: the decorrelated colours, see `spectra.Spectrum`.
      variance: the variance of each coefficient.
    """

    colours: Float[np.ndarray, "3 3"]
    variance: Float[np.ndarray, "h w 3"]


def linear_map(degradation: Callable, known: Bool[np.ndarray, "h w"], *, tolerance: float = 1e-5) -> LinearMap | None:
    """Makes a linear map of a degradation, if the degradation is linear but for a constant.

    Linearity is tested on two random pictures: their sum, degraded, must be the sum of the degraded pictures.

    Args:
      degradation: a pytree that is called with an image.
      known: True where the degraded image is observed.
      tolerance: the largest difference that passes the test, relative to the sum; a degradation that computes in
        float32 is linear only up to rounding.
    Returns:
      The map, or None if the degradation is neither linear nor affine.
    """
    degradation = jax.tree.map(np.asarray, degradation)
    shape, mask = (*known.shape, 3), known[..., None]

    def on_host(function: Callable, image: Levels) -> Levels:
        with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
            return np.asarray(function(degradation, image.astype(np.float64)), np.float64)

    offset = on_host(degrade, np.zeros(shape))

    def forward(image: Levels) -> Levels:
        return np.where(mask, on_host(degrade, image) - offset, 0)

    def transpose(image: Levels) -> Levels:
        return on_host(_transpose, np.where(mask, image, 0))

    a, b = np.random.default_rng(0).uniform(-1, 1, (2, *shape))
    separate = 0.3 * forward(a) - 0.6 * forward(b)
    if np.abs(forward(0.3 * a - 0.6 * b) - separate).max() > tolerance * np.abs(separate).max():
        return None
    return LinearMap(forward, transpose, known, offset)


@jax.jit
def _transpose(degradation: Callable, image: jax.Array) -> jax.Array:
    return jax.vjp(degradation, jax.numpy.zeros_like(image))[1](image)[0]


def degraded_variance(map_: LinearMap, covariance: Covariance) -> Float[np.ndarray, "h w 3"]:
    """Estimates the diagonal of `A S A'`, the variance of the coefficients of degraded pictures, from a few of them."""
    draws = np.random.default_rng(0).standard_normal((PROBES, *covariance.variance.shape))
    pictures = (spectra.from_coefficients(np.sqrt(covariance.variance) * draw, covariance.colours) for draw in draws)
    power = np.mean([spectra.coefficients(map_.forward(p), covariance.colours) ** 2 for p in pictures], 0)
    return ndimage.uniform_filter(power, (3, 3, 1), mode="nearest")


def fitted_factor(
    colours: Float[np.ndarray, "3 3"], degraded: Float[np.ndarray, "h w 3"], floor: float, residual: Levels
) -> float:
    """Fits the factor of S with which a residual is as large as expected.

    Args:
      colours: decorrelated ones, those of S.
      degraded: the `degraded_variance` of A and S.
      floor: variance of the noise in each coefficient, which is s^2 times the share of the pixels that are known.
      residual: the residual, zero where nothing is known.
    Returns:
      The factor f for which the residual's squared coefficients, divided by `f degraded + floor`, average 1 over the
      frequencies where S rises above the noise; 1 if there are none.
    """
    seen = degraded > max(floor, 1e-12 * degraded.max())
    if not seen.any():
        return 1.0
    power = spectra.coefficients(residual, colours)[seen] ** 2

    def excess(log_factor: float) -> float:
        return float(np.mean(power / (np.exp(log_factor) * degraded[seen] + floor))) - 1

    if excess(-20.0) <= 0:
        return float(np.exp(-20.0))  # the whole residual may be noise
    return float(np.exp(optimize.brentq(excess, -20.0, 40.0)))


def conditional_mean(
    map_: LinearMap,
    covariance: Covariance,
    whole: Float[np.ndarray, "h w 3"],
    noise: float | Levels,
    residual: Levels,
) -> Levels:
    """Computes the mean of all pictures of covariance S whose degraded, noisy image may be the residual.

    Args:
      map_, covariance: A and S.
      whole: the `degraded_variance` of A without holes, because holes make high frequencies look stronger. It
        speeds the search up and does not change the result.
      noise: s, of all pixels or of each.
      residual: the observed image.
    Returns:
      `S A' (A S A' + s^2)^-1 residual`.
    """
    mask = map_.known[..., None]
    colours, variance = covariance
    variance_of_noise = float(np.mean(np.square(noise)))
    scale = 1 / (whole + variance_of_noise + 1e-15)

    def prior(image: Levels) -> Levels:
        return spectra.from_coefficients(variance * spectra.coefficients(image, colours), colours)

    def matrix(image: Levels) -> Levels:
        return map_.forward(prior(map_.transpose(image))) + np.square(noise) * image

    def preconditioner(image: Levels) -> Levels:
        return np.where(mask, spectra.from_coefficients(scale * spectra.coefficients(image, colours), colours), 0)

    left = np.where(mask, residual, 0)
    enough = max(1e-2 * np.sqrt(variance_of_noise * residual.size), 1e-7 * np.linalg.norm(left))
    solution, direction, before = np.zeros_like(left), np.zeros_like(left), np.inf
    for _ in range(MOST_STEPS):
        if np.linalg.norm(left) <= enough:
            break
        scaled = preconditioner(left)
        product = np.vdot(left, scaled)
        direction = scaled + product / before * direction
        image = matrix(direction)
        step = product / np.vdot(direction, image)
        solution, left, before = solution + step * direction, left - step * image, product
    return prior(map_.transpose(solution))
