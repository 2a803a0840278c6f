"""Estimates the noise of a photograph where a face is, as it stands in the aligned crop."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Bool, UInt8

from jaxgan.errors import UserError
from jaxgan.photos import alignment
from jaxgan.photos.alignment import Placement

ROUNDING = 1 / np.sqrt(12)
"""The standard deviation, in levels, of rounding to whole levels, which every crop of 8 bits has."""

_PROBE_SIDE = 64  # the side in pixels of a crop of white noise, large enough to know its standard deviation
_PROBE_SIGMA = 40.0  # the standard deviation of that noise, in levels


def estimate_noise(photo: UInt8[np.ndarray, "H W 3"], placement: Placement) -> float:
    """Estimates the standard deviation of white noise in the crop of a face.

    The noise is estimated on the photograph's own pixels, where it is white, from the finest wavelet coefficients.
    Aligning a face averages over pixels and so reduces the noise; by how much is measured on a picture of white noise.
    Blurred photographs, whose finest coefficients are noise alone, are estimated well; in sharp ones fine detail counts
    as noise, and in JPEG files noise that the compression removed is missing.

    Args:
      photo: RGB of 8 or 16 bits.
      placement: the place of the crop in the photo.
    Returns:
      The standard deviation in levels of 8 bits; it includes the rounding of the crop, so it is at least `ROUNDING`.
    Raises:
      UserError: the packages scikit-image and PyWavelets are not installed.
      ValueError: the crop lies outside the photo.
    References:
      Donoho, Johnstone, Ideal Spatial Adaptation by Wavelet Shrinkage, 1994, 3.1 (the median of the finest
      coefficients, divided by 0.6745).
    """
    try:
        from skimage.restoration import estimate_sigma
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    rows, columns = _box(photo.shape, placement)
    pixels = photo[rows, columns].astype(np.float32)
    try:
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # a channel without any coefficient
            of_channels = np.asarray(estimate_sigma(pixels, channel_axis=-1))
    except ImportError as error:  # it may be PyWavelets, which scikit-image imports when it is needed
        raise _missing(error) from error
    known = of_channels[np.isfinite(of_channels)]  # not of a constant channel
    sigma = known.mean() if known.size else 0.0
    return float(np.hypot(sigma * _gain(placement.pixels_per_pixel), ROUNDING))


def estimate_photons(
    photo: UInt8[np.ndarray, "H W 3"], dropped: Bool[np.ndarray, "H W"], placement: Placement
) -> float:
    """Estimates how many photons stand for white in a pixel of the crop of a face.

    Neighbours a and b differ by noise of variance (a + b) / photons, and by the picture, which is smooth in most
    places: the median over all pairs tells. That aligning a face averages over pixels counts as more photons.

    Args:
      photo: RGB.
      dropped: pixels that are left out.
      placement: where in the photo the crop lies.
    Raises:
      ValueError: the crop lies outside the photo, or is all black.
    """
    rows, columns = _box(photo.shape, placement)
    levels, known = photo[rows, columns] / 255, ~dropped[rows, columns]
    first, second = levels[:, :-1], levels[:, 1:]
    pairs = (known[:, :-1] & known[:, 1:])[..., None] & (first + second > 0)
    if not pairs.any():
        raise ValueError("the crop is black; expected pixels that light has reached")
    ratios = np.abs(first - second)[pairs] / np.sqrt((first + second)[pairs])
    deviation = max(np.median(ratios) / 0.6745, 1 / 255) * _gain(placement.pixels_per_pixel)
    return float(1 / deviation**2)


def _box(shape: tuple[int, ...], placement: Placement) -> tuple[slice, slice]:
    """The rows and columns of a photo around the square of a crop."""
    low, high = placement.corners.min(axis=0), placement.corners.max(axis=0)
    left, top = np.maximum(np.floor(low).astype(int), 0)
    right, bottom = np.minimum(np.ceil(high).astype(int), shape[1::-1])
    if left >= right or top >= bottom:
        raise ValueError(
            f"the crop at x, y = {placement.corners.mean(axis=0).round(1).tolist()} lies outside the photo"
        )
    return slice(top, bottom), slice(left, right)


def _gain(pixels_per_pixel: float) -> float:
    """Returns the share of white noise that is left of it in a crop, given photo pixels per pixel of the crop."""
    side = _PROBE_SIDE * pixels_per_pixel
    margin = int(np.ceil(0.1 * side)) + 4  # what `alignment.cut` looks at beside the square
    length = int(np.ceil(side)) + 2 * margin
    noise = np.random.default_rng(0).normal(127.5, _PROBE_SIGMA, (length, length, 3))
    photo = np.clip(np.rint(noise), 0, 255).astype(np.uint8)
    quad = alignment.quad_from_box(float(margin), float(margin), margin + side, margin + side)
    return float(alignment.cut(photo, quad, _PROBE_SIDE).std() / photo.std())


def _missing(error: ImportError) -> UserError:
    return UserError(f"estimating noise needs a package that is missing ({error}): pip install scikit-image PyWavelets")
