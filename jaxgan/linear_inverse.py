"""The inverse of linear degradations: the conditional mean of what a reconstruction lacks.

A reconstruction's error has a measured spectrum, the observation a known noise, and the degradation is linear: then the
most that an observation tells has a formula, `S A' (A S A' + s^2)^-1` applied to the residual.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxgan import conditional_mean, pooled_mean, spectra, stored_spectra
from jaxgan.conditional_mean import Covariance, LinearMap
from jaxgan.degradations import (
    Compose,
    Degradation,
    Denoising,
    GaussianBlur,
    Grayscale,
    Mask,
    MotionBlur,
    Pooling,
    observed_pixels,
    parts_of,
)
from jaxgan.spectra import Spectrum

GREY_AND_CHROMA = np.linalg.qr([[1.0, 1.0, 0.0], [1.0, -1.0, 1.0], [1.0, 0.0, -1.0]])[0]
"""Colours of which one is what a grey picture shows: the others are then left as the generator made them."""

Image = Float[np.ndarray, "h w 3"]


class Knowledge(NamedTuple):
    """What a degradation's inverse may go by, besides the two images.

    Attributes:
      spectrum: of the reconstruction's error; None for that of the package.
      noise: standard deviation of the white noise in the observation, in units of the range [0, 1].
      fidelity: see `restore`.
    """

    spectrum: Spectrum | None
    noise: float
    fidelity: float


def unpool(pooling: Pooling, observed: Image, x: Image, knowledge: Knowledge) -> Image:
    """The conditional mean of a picture of which the mean over tiles was observed."""
    spectrum = default_spectrum(pooling, x.shape) if knowledge.spectrum is None else knowledge.spectrum
    factor, noise = int(pooling.factor), knowledge.noise
    levels, covariance = _trusted(spectrum, x, knowledge.fidelity)
    residual = pooled_mean.pool(observed / 2 - levels, factor)
    degraded = pooled_mean.degraded_variance(covariance, factor)
    scale = conditional_mean.fitted_factor(spectrum.colours, degraded, noise**2, residual)
    covariance = covariance._replace(variance=scale * covariance.variance)
    return 2 * (levels + pooled_mean.conditional_mean(covariance, factor, scale * degraded, noise, residual))


def _trusted(spectrum: Spectrum, x: Image, fidelity: float) -> tuple[Image, Covariance]:
    """The reconstruction in levels, as far as the fidelity trusts it, and the covariance of what it lacks."""
    gain, variance = spectra.gain_and_variance(spectrum, x.shape[:2], fidelity)
    levels = x / 2  # spectra and noise are in units of the range [0, 1]
    if fidelity > 0:
        levels = spectra.from_coefficients(gain * spectra.coefficients(levels, spectrum.colours), spectrum.colours)
    return levels, Covariance(spectrum.colours, variance)


def correction(
    degradation: Degradation, map_: LinearMap, observed: Image, x: Image, knowledge: Knowledge
) -> tuple[Image, Image]:
    """The reconstruction as far as the fidelity trusts it, and the correction to it."""
    spectrum = default_spectrum(degradation, x.shape) if knowledge.spectrum is None else knowledge.spectrum
    if is_grey(degradation):
        spectrum = spectra.in_colours(spectrum, GREY_AND_CHROMA)
    levels, covariance = _trusted(spectrum, x, knowledge.fidelity)
    degraded_levels = map_.forward(levels) + map_.offset / 2
    residual = np.where(map_.known[..., None], observed / 2 - degraded_levels, 0)
    if not residual.any():
        return 2 * levels, np.zeros_like(x)
    noise = noise_of_pixels(degradation, degraded_levels, knowledge.noise)
    degraded = whole = conditional_mean.degraded_variance(map_, covariance)
    if not map_.known.all():
        parts = tuple(part for part in parts_of(degradation) if not isinstance(part, Mask))
        without_holes = conditional_mean.linear_map(Compose(parts), np.ones_like(map_.known))
        assert without_holes is not None  # as linear as the whole
        whole = conditional_mean.degraded_variance(without_holes, covariance)
    floor = float(np.mean(np.square(noise) * map_.known[..., None]))
    factor = conditional_mean.fitted_factor(spectrum.colours, degraded, floor, residual)
    covariance = covariance._replace(variance=factor * covariance.variance)
    return 2 * levels, 2 * conditional_mean.conditional_mean(map_, covariance, factor * whole, noise, residual)


def noise_of_pixels(degradation: Degradation, degraded_levels: Image, noise: float) -> float | Image:
    """Standard deviation of the noise in each pixel of an observation.

    Few photons add theirs, `x / photons` in variance. Pixels of a tile repeat one that was observed once.
    """
    result: float | Image = noise
    for part in parts_of(degradation):
        if isinstance(part, Denoising):
            photons = float(part.photons)
            result = np.sqrt(noise**2 + np.maximum(degraded_levels + 0.5, 1 / photons) / photons)
    tile = max((int(part.factor) for part in parts_of(degradation) if isinstance(part, Pooling)), default=1)
    return tile * result


def is_grey(degradation: Degradation) -> bool:
    """Whether an observation has lost its colours."""
    return any(isinstance(part, Grayscale) for part in parts_of(degradation))


def default_spectrum(
    degradation: Degradation, shape: tuple[int, int, int], *, network: str | None = None, method: str | None = None
) -> Spectrum:
    """Finds the spectrum for the task that is nearest to a degradation.

    It is that of a network (`GeneratorConfig.source_sha256`) and method of inversion, or the embedded network's where
    they have none. A mask alone is inpainting; everything else is deblurring, of the widest blur in it, or of the
    mildest that was measured if there is none. A tile blurs like a Gaussian of its variance, and so does a path.
    """
    is_inpainting = isinstance(degradation, Mask) and not isinstance(degradation, Denoising)
    family = stored_spectra.load().find("inpaint" if is_inpainting else "deblur", network=network, method=method)
    assert family is not None  # both are embedded
    if is_inpainting:
        return family.spectra[0]
    widths = [_width(part) / shape[1] for part in parts_of(degradation)]
    return family.at(max([*widths, family.strengths[0]]))


def _width(degradation: Degradation) -> float:
    """Standard deviation in pixels of what a blur makes of a point."""
    match degradation:
        case GaussianBlur():
            return float(degradation.sigma)
        case MotionBlur():
            return float(degradation.length) / math.sqrt(12)
        case Pooling():
            return math.sqrt((int(degradation.factor) ** 2 - 1) / 12)
    return 0.0


def linear_map(degradation: Degradation, shape: tuple[int, int, int]) -> LinearMap | None:
    """The degradation of images of a shape as a linear map, see `conditional_mean.linear_map`; None if it is none."""
    return conditional_mean.linear_map(degradation, _known(degradation, shape))


def _known(degradation: Degradation, shape: tuple[int, int, int]) -> Bool[np.ndarray, "h w"]:
    seen = observed_pixels(degradation, shape)
    return np.ones(shape[:2], bool) if seen is None else np.asarray(seen)
