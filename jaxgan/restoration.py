"""Restoration: all that was observed, completed by the generator's image where nothing was.

One formula for every degradation A, observation y and reconstruction x: `restoration = x + C(y - A x)`. C is the
classical inverse of A, but applied to the residual, to what the generator failed to explain. Where the generator knows
nothing this is the classical method; where it is right it changes nothing.

References:
  Wang et al., "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", 2022, arXiv 2212.00490.
"""

from __future__ import annotations

import itertools
import math
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float

from jaxgan import conditional_mean, jpeg_intervals, linear_inverse, tension
from jaxgan.degradations import (
    JPEG,
    Compose,
    Degradation,
    Denoising,
    Dimming,
    GaussianBlur,
    Grayscale,
    Identity,
    Mask,
    MotionBlur,
    Pooling,
    degrade,
    parts_of,
    without_draws,
)
from jaxgan.images import check_image
from jaxgan.linear_inverse import Image, Knowledge
from jaxgan.spectra import Spectrum

ROUNDING = 1 / 255 / math.sqrt(12)
"""Standard deviation of what rounding to 8 bits adds, in units of the range [0, 1]."""

GRAIN = 0.75 / 255
"""Standard deviation of what a blur is assumed to have left besides, at a fidelity of 0 (see `default_noise`)."""

ALONE = (Identity, Mask, Grayscale)
"""Linear degradations that are inverted without a spectrum, if they stand by themselves."""

LINEAR = (*ALONE, GaussianBlur, MotionBlur, Pooling)
"""Degradations that are known to be linear, so that it need not be tried."""


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
    linear, or linear but for a constant. Where there is no inverse, which `has_inverse` tells, the restoration is the
    reconstruction.

    Args:
      observed: y in [-1, 1]; what stands where nothing was observed does not matter.
      degradation: A, assumed to have made it.
      reconstruction: x, the generator's image, clipped to [-1, 1] here.
      spectrum: of the reconstruction's error, for blurs and other linear degradations, and for masks at a fidelity
        above 0; by default the embedded network's, of the task that is nearest to the degradation.
      noise: standard deviation of white noise in the observation, in units of the range [0, 1] (8-bit levels over
        255); by default `default_noise`.
      fidelity: 0 looks best, 1 has the least squared error and less detail; grey pictures have no such choice.
    Returns:
      The restoration in [-1, 1].
    Raises:
      TypeError: an image holds integers.
      ValueError: the shapes differ, values are far outside of [-1, 1], a number is out of range, or the degradation or
        what was observed holds NaN.
    References:
      Blau & Michaeli, "The Perception-Distortion Tradeoff", 2018, arXiv 1711.06077 (`fidelity`).
    """
    check_image(reconstruction, "reconstruction")
    check_image(np.nan_to_num(np.asarray(observed)), "observed")  # NaN may mark what was not observed
    if observed.shape != reconstruction.shape or observed.shape[2:] != (3,):
        raise ValueError(
            f"observed has shape {observed.shape}, reconstruction {reconstruction.shape}; expected [H, W, 3] twice"
        )
    noise = default_noise(degradation, fidelity) if noise is None else noise
    if not 0 <= noise < math.inf or not 0 <= fidelity <= 1:
        raise ValueError(f"noise is {noise}, fidelity {fidelity}; expected 0 or more, and a number from 0 to 1")
    x = np.clip(np.asarray(reconstruction, np.float64), -1, 1)
    degradation = without_draws(degradation)
    completed = complete(degradation, np.asarray(observed, np.float64), x, Knowledge(spectrum, noise, fidelity))
    if not np.isfinite(completed).all():
        raise ValueError("the restoration is not finite; a parameter of the degradation, or the observation, is not.")
    return np.clip(completed, -1, 1).astype(np.float32)


def default_noise(degradation: Degradation, fidelity: float = 0.0) -> float:
    """Tells the noise that `restore` assumes where none is stated, in units of the range [0, 1].

    It is that of rounding. A blur is undone as if it had left a little more: the last detail that an observation tells
    lowers the squared error, which a fidelity of 1 asks for, but comes with grain and ripples, which look worse.
    """
    is_blurred = any(isinstance(part, (GaussianBlur, MotionBlur)) for part in parts_of(degradation))
    return math.hypot(ROUNDING, (1 - fidelity) * GRAIN) if is_blurred else ROUNDING


def has_inverse(degradation: Degradation, shape: tuple[int, int, int]) -> bool:
    """Whether `restore` makes anything else of a reconstruction `[H, W, 3]` than the reconstruction itself."""
    degradation = without_draws(degradation)
    if isinstance(degradation, Dimming):
        return False  # which pixels were dropped cannot be told
    if isinstance(degradation, Compose):
        return all(has_inverse(part, shape) for part in degradation.parts)
    return isinstance(degradation, (JPEG, HasInverse)) or _is_linear(degradation, shape)


def inverse_name(degradation: Degradation, shape: tuple[int, int, int], *, fidelity: float = 0.0) -> str | None:
    """Names the inverse that `restore` applies, in a few words for people; None where there is none."""
    if not has_inverse(degradation, shape):
        return None
    match degradation := without_draws(degradation):
        case HasInverse():
            return f"the one of {type(degradation).__name__}"
        case Identity():
            return "the observation itself"
        case JPEG():
            return "coefficients moved into the file's intervals"
        case Denoising():
            return "conditional mean"
        case Mask():
            spline = "spline in tension" if tension.is_solved(np.asarray(degradation.mask) <= 0.5) else "membrane"
            names = [spline] * (fidelity < 1) + ["conditional mean"] * (fidelity > 0)
            return " and ".join(names)
        case Grayscale():
            return "observed luminance"
        case Compose() if not _is_one_linear_map(degradation, shape):
            pieces = _pieces(degradation, shape)
            return ", then ".join(str(inverse_name(p, shape, fidelity=fidelity)) for p in reversed(pieces))
    return "conditional mean"


def complete(degradation: Degradation, observed: Image, reconstruction: Image, knowledge: Knowledge) -> Image:
    """`x + C(y - A x)`, not clipped; for use by other inverses, see `restore`."""
    match degradation:
        case HasInverse():
            return degradation.complete(observed, reconstruction, knowledge)
        case Identity():
            return observed
        case JPEG():
            return jpeg_intervals.complete(degradation, observed, reconstruction)
        case Pooling() if not any(side % int(degradation.factor) for side in observed.shape[:2]):
            return linear_inverse.unpool(degradation, observed, reconstruction, knowledge)
        case Mask() if not isinstance(degradation, Denoising):
            return _fill(degradation, observed, reconstruction, knowledge)
        case Grayscale():
            return with_luminance(observed, reconstruction)
        case Compose() if not _is_one_linear_map(degradation, observed.shape):
            return _undo_one_by_one(degradation, observed, reconstruction, knowledge)
    map_ = linear_inverse.linear_map(degradation, observed.shape)
    if map_ is None:
        return reconstruction
    x, correction = linear_inverse.correction(degradation, map_, observed, reconstruction, knowledge)
    return with_luminance(x + correction, x + correction) if linear_inverse.is_grey(degradation) else x + correction


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
        x, linear = linear_inverse.correction(mask, map_, observed, x, knowledge)
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
    """From the last piece to the first: what each one hides is completed by the reconstruction as it was before it."""
    if not has_inverse(compose, x.shape):
        return x
    pieces = _pieces(compose, x.shape)
    before = [x]
    for piece in pieces[:-1]:
        before.append(np.asarray(degrade(piece, before[-1].astype(np.float32)), np.float64))
    for piece, image in zip(reversed(pieces), reversed(before), strict=True):
        observed = complete(piece, observed, image, knowledge)
        if isinstance(piece, JPEG):
            knowledge = knowledge._replace(noise=math.hypot(knowledge.noise, jpeg_intervals.error(piece, image)))
    return observed


def _pieces(compose: Compose, shape: tuple[int, int, int]) -> list[Degradation]:
    """What is inverted one after the other: linear parts at once with their neighbours, if one of them has to be."""
    pieces: list[Degradation] = []
    for is_linear, parts in itertools.groupby(parts_of(compose), lambda part: _is_linear(part, shape)):
        together = tuple(parts)
        if is_linear and not all(isinstance(part, ALONE) and not isinstance(part, Denoising) for part in together):
            pieces.append(together[0] if len(together) == 1 else Compose(together))
        else:
            pieces += together
    return pieces


def _is_one_linear_map(compose: Compose, shape: tuple[int, int, int]) -> bool:
    """Tells whether all parts are inverted at once, as one of them needs a spectrum and all are linear.

    Undone one by one, the content of a hole would count as an observation to the part that comes before the mask.
    """
    return len(parts_of(compose)) > 1 and len(_pieces(compose, shape)) == 1


def _is_linear(degradation: Degradation, shape: tuple[int, int, int]) -> bool:
    if isinstance(degradation, (JPEG, Dimming, HasInverse)):
        return False
    return isinstance(degradation, LINEAR) or linear_inverse.linear_map(degradation, shape) is not None
