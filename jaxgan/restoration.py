"""Restoration: all that was observed, completed by the generator's image where nothing was.

One formula for every degradation A, observation y and reconstruction x: `restoration = x + C(y - A x)`. C is the
classical inverse of A, but applied to the residual, to what the generator failed to explain. Where the generator knows
nothing this is the classical method; where it is right it changes nothing.

References:
  Wang et al., "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", 2022, arXiv 2212.00490.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxgan import conditional_mean, spectra, stored_spectra, tension
from jaxgan.conditional_mean import Covariance, LinearMap
from jaxgan.degradations import Compose, Degradation, GaussianBlur, Grayscale, Identity, Mask, parts_of
from jaxgan.images import check_image
from jaxgan.spectra import Spectrum

ROUNDING = 1 / 255 / math.sqrt(12)
"""Standard deviation of what rounding to 8 bits adds, in units of the range [0, 1]."""

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


@runtime_checkable
class HasInverse(Protocol):
    """A degradation that brings its own inverse along."""

    def complete(self, observed: Image, reconstruction: Image, knowledge: Knowledge) -> Image:
        """`x + C(y - A x)` for this degradation: on the host, in float64 and [-1, 1], not clipped."""


def restore(
    observed: Float[Array | np.ndarray, "h w 3"],
    degradation: Degradation,
    reconstruction: Float[Array | np.ndarray, "h w 3"],
    *,
    spectrum: Spectrum | None = None,
    noise: float | None = None,
    fidelity: float = 0.0,
) -> Float[np.ndarray, "h w 3"]:
    """Completes what was observed by what the generator made of it.

    A degradation of one's own is inverted by its method `complete` (see `HasInverse`), or, without one, if it is
    linear. Where there is no inverse, which `has_inverse` tells, the restoration is the reconstruction.

    Args:
      observed: y in [-1, 1]; what stands where nothing was observed does not matter.
      degradation: A, assumed to have made it.
      reconstruction: x, the generator's image, clipped to [-1, 1] here.
      spectrum: of the reconstruction's error, for blurs and other linear degradations, and for masks at a fidelity
        above 0; by default the embedded network's, of the task that is nearest to the degradation.
      noise: standard deviation of white noise in the observation, in units of the range [0, 1] (8-bit levels over
        255); by default `ROUNDING`.
      fidelity: 0 looks best, 1 has the least squared error and less detail; grey pictures have no such choice.
    Returns:
      The restoration in [-1, 1].
    Raises:
      TypeError: an image holds integers.
      ValueError: the shapes differ, values are far outside of [-1, 1], or a number is out of range.
    References:
      Blau & Michaeli, "The Perception-Distortion Tradeoff", 2018, arXiv 1711.06077 (`fidelity`).
    """
    check_image(reconstruction, "reconstruction")
    check_image(np.nan_to_num(np.asarray(observed)), "observed")  # NaN may mark what was not observed
    if observed.shape != reconstruction.shape:
        raise ValueError(f"observed has shape {observed.shape}, reconstruction {reconstruction.shape}; expected equal")
    noise = ROUNDING if noise is None else noise
    if not 0 <= noise < math.inf or not 0 <= fidelity <= 1:
        raise ValueError(f"noise is {noise}, fidelity {fidelity}; expected 0 or more, and a number from 0 to 1")
    x = np.clip(np.asarray(reconstruction, np.float64), -1, 1)
    completed = complete(degradation, np.asarray(observed, np.float64), x, Knowledge(spectrum, noise, fidelity))
    return np.clip(completed, -1, 1).astype(np.float32)


def has_inverse(degradation: Degradation, shape: tuple[int, int, int]) -> bool:
    """Whether `restore` makes anything else of a reconstruction `[H, W, 3]` than the reconstruction itself."""
    if isinstance(degradation, Compose):
        return all(has_inverse(part, shape) for part in degradation.parts)
    if isinstance(degradation, (Identity, Mask, Grayscale, GaussianBlur, HasInverse)):
        return True
    return _linear_map(degradation, shape) is not None


def inverse_name(degradation: Degradation, shape: tuple[int, int, int], *, fidelity: float = 0.0) -> str | None:
    """Names the inverse that `restore` applies, in a few words for people; None where there is none."""
    if not has_inverse(degradation, shape):
        return None
    match degradation:
        case HasInverse():
            return f"the one of {type(degradation).__name__}"
        case Identity():
            return "the observation itself"
        case Mask():
            spline = "spline in tension" if tension.is_solved(np.asarray(degradation.mask) <= 0.5) else "membrane"
            names = [spline] * (fidelity < 1) + ["conditional mean"] * (fidelity > 0)
            return " and ".join(names)
        case Grayscale():
            return "observed luminance"
        case Compose() if not _is_one_linear_map(degradation, shape):
            return ", then ".join(str(inverse_name(p, shape, fidelity=fidelity)) for p in reversed(degradation.parts))
    return "conditional mean"


def complete(degradation: Degradation, observed: Image, reconstruction: Image, knowledge: Knowledge) -> Image:
    """`x + C(y - A x)`, not clipped; for use by other inverses, see `restore`."""
    match degradation:
        case HasInverse():
            return degradation.complete(observed, reconstruction, knowledge)
        case Identity():
            return observed
        case Mask():
            return _fill(degradation, observed, reconstruction, knowledge)
        case Grayscale():
            return with_luminance(observed, reconstruction)
        case Compose() if not _is_one_linear_map(degradation, observed.shape):
            return _undo_one_by_one(degradation, observed, reconstruction, knowledge)
    map_ = _linear_map(degradation, observed.shape)
    if map_ is None:
        return reconstruction
    x, correction = _conditional_mean(degradation, map_, observed, reconstruction, knowledge)
    return with_luminance(x + correction, x + correction) if _is_grey(degradation) else x + correction


def _fill(mask: Mask, observed: Image, x: Image, knowledge: Knowledge) -> Image:
    """In the hole the reconstruction, plus the residual around the hole continued into it."""
    hole = np.asarray(mask.mask) <= 0.5
    if hole.all():
        return x
    phi = knowledge.fidelity
    linear: Image | float = 0.0
    if phi > 0:
        map_ = conditional_mean.linear_map(mask, ~hole)
        assert map_ is not None  # a mask is linear
        x, linear = _conditional_mean(mask, map_, observed, x, knowledge)
    spline = tension.fill(observed - x, hole, tension.LENGTH * hole.shape[0]) if phi < 1 else 0.0
    return np.where(hole[..., None], x + (1 - phi) * spline + phi * linear, observed)


def with_luminance(observed: Float[np.ndarray, "h w _"], x: Image) -> Image:
    """Gives an image the luminance of another.

    Args:
      observed: its luminance, the mean of its channels, is kept exactly.
      x: its chroma is taken, less of it where a channel would leave [-1, 1].
    """
    luminance = observed.mean(-1, keepdims=True)
    chroma = x - x.mean(-1, keepdims=True)
    room = np.where(chroma > 0, 1 - luminance, 1 + luminance)
    share = np.divide(room, np.abs(chroma), out=np.ones_like(chroma), where=np.abs(chroma) > room)
    return luminance + np.clip(share.min(-1, keepdims=True), 0, 1) * chroma


def _undo_one_by_one(compose: Compose, observed: Image, x: Image, knowledge: Knowledge) -> Image:
    """From the last part to the first: what each one hides is completed by the reconstruction as it was before it."""
    if not has_inverse(compose, x.shape):
        return x
    before = [x]
    for part in compose.parts[:-1]:
        before.append(np.asarray(_degrade(part, before[-1].astype(np.float32)), np.float64))
    for part, image in zip(reversed(compose.parts), reversed(before), strict=True):
        observed = complete(part, observed, image, knowledge)
    return observed


def _is_one_linear_map(compose: Compose, shape: tuple[int, int, int]) -> bool:
    """Whether all parts are inverted at once: where one of them needs a spectrum, and all are linear.

    Undone one by one, the content of a hole would count as an observation to the part that comes before the mask.
    """
    own = (Identity, Mask, Grayscale, HasInverse)
    return not all(isinstance(part, own) for part in compose.parts) and _linear_map(compose, shape) is not None


def _conditional_mean(
    degradation: Degradation, map_: LinearMap, observed: Image, x: Image, knowledge: Knowledge
) -> tuple[Image, Image]:
    """The reconstruction as far as the fidelity trusts it, and the correction to it."""
    spectrum = default_spectrum(degradation, x.shape) if knowledge.spectrum is None else knowledge.spectrum
    if _is_grey(degradation):
        spectrum = spectra.in_colours(spectrum, GREY_AND_CHROMA)
    gain, variance = spectra.gain_and_variance(spectrum, x.shape[:2], knowledge.fidelity)
    levels, noise = x / 2, knowledge.noise  # spectra and noise are in units of the range [0, 1]
    if knowledge.fidelity > 0:
        levels = spectra.from_coefficients(gain * spectra.coefficients(levels, spectrum.colours), spectrum.colours)
    residual = np.where(map_.known[..., None], observed / 2 - map_.forward(levels), 0)
    if not residual.any():
        return 2 * levels, np.zeros_like(x)
    covariance = Covariance(spectrum.colours, variance)
    degraded = whole = conditional_mean.degraded_variance(map_, covariance)
    if not map_.known.all():
        parts = tuple(part for part in parts_of(degradation) if not isinstance(part, Mask))
        without_holes = conditional_mean.linear_map(Compose(parts), np.ones_like(map_.known))
        assert without_holes is not None  # as linear as the whole
        whole = conditional_mean.degraded_variance(without_holes, covariance)
    factor = conditional_mean.fitted_factor(map_, covariance, degraded, noise, residual)
    covariance = covariance._replace(variance=factor * variance)
    return 2 * levels, 2 * conditional_mean.conditional_mean(map_, covariance, factor * whole, noise, residual)


def _is_grey(degradation: Degradation) -> bool:
    return any(isinstance(part, Grayscale) for part in parts_of(degradation))


def default_spectrum(
    degradation: Degradation, shape: tuple[int, int, int], *, network: str | None = None, method: str | None = None
) -> Spectrum:
    """The spectrum for the task that is nearest to a degradation.

    It is that of a network (`GeneratorConfig.source_sha256`) and method of inversion, or the embedded network's where
    they have none. A mask alone is inpainting; everything else is deblurring, of the widest blur in it, or of the
    mildest that was measured if there is none.
    """
    family = stored_spectra.load().find(
        "inpaint" if isinstance(degradation, Mask) else "deblur", network=network, method=method
    )
    assert family is not None  # both are embedded
    if isinstance(degradation, Mask):
        return family.spectra[0]
    sigmas = [float(part.sigma) / shape[1] for part in parts_of(degradation) if isinstance(part, GaussianBlur)]
    return family.at(max(sigmas, default=family.strengths[0]))


def _linear_map(degradation: Degradation, shape: tuple[int, int, int]) -> LinearMap | None:
    return conditional_mean.linear_map(degradation, _known(degradation, shape))


def _known(degradation: Degradation, shape: tuple[int, int, int]) -> Bool[np.ndarray, "h w"]:
    """Where something is observed: hiding changes nothing there."""
    return ~np.any(np.asarray(degradation.hide_missing(jnp.zeros(shape))) != 0, -1)


@jax.jit
def _degrade(degradation: Callable, image: Array) -> Array:
    return degradation(image)
