"""Measures how large a reconstruction's error is at each frequency, which is needed to invert a linear degradation.

A spectrum is measured on pairs of truth and reconstruction, in bands of half an octave and in decorrelated colours. Its
numbers are for *levels*, half the values of an image in [-1, 1], so that zero is mid-grey and the range has length 1.
They are divided by the pixels of a picture, so that they hold for pictures of other sizes, too. Frequencies are
those of the orthonormal DCT-II, in half cycles per picture width; band 0 is the mean, band b from 1 on holds the
frequencies from `2^((b - 1) / 2)` up to the next band's.

References:
  Ruderman, "The statistics of natural images", 1994, Network 5(4) (power laws).
  Blau & Michaeli, "The Perception-Distortion Tradeoff", 2018, arXiv 1711.06077 (what `fidelity` trades).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import fft

OCTAVES = 2
"""The number of last bands that a power law is fitted to, which continues the spectrum beyond them."""

LEAST = 1e-3
"""The share of the truth that no reconstruction explains, even where a few faces suggest that it explains all."""


class Spectrum(NamedTuple):
    """The second moments of truth and reconstruction in each band and colour.

    Attributes:
      colours: an orthogonal matrix `[3, 3]`; `levels @ colours` has decorrelated errors.
      truth: the mean square of the truth's coefficients, `[bands, 3]`.
      cross: the mean product of the coefficients of truth and reconstruction, `[bands, 3]`.
      reconstruction: the mean square of the reconstruction's coefficients, `[bands, 3]`.
    """

    colours: Float[np.ndarray, "3 3"]
    truth: Float[np.ndarray, "bands 3"]
    cross: Float[np.ndarray, "bands 3"]
    reconstruction: Float[np.ndarray, "bands 3"]


def measure_spectrum(
    truths: Float[np.ndarray, "n h w 3"],
    reconstructions: Float[np.ndarray, "n h w 3"],
    *,
    colours: Float[np.ndarray, "3 3"] | None = None,
) -> Spectrum:
    """Measures a spectrum on images that are not samples of the network itself.

    Args:
      truths: square images in [-1, 1].
      reconstructions: the generator's images of them, which are clipped to [-1, 1] here.
      colours: the colours of another spectrum, if the two are to be interpolated; None takes `error_colours`.
    Returns:
      The spectrum, in bands of half an octave.
    Raises:
      ValueError: the shapes differ, or the images are not square.
    """
    if truths.shape != reconstructions.shape or truths.shape[1] != truths.shape[2]:
        raise ValueError(
            f"truths have shape {truths.shape}, reconstructions {reconstructions.shape}; expected square images, "
            "as many of one as of the other"
        )
    if colours is None:
        colours = error_colours(truths, reconstructions)
    t, x = (coefficients(_levels(images), colours) for images in (truths, reconstructions))
    band = bands(truths.shape[1:3])
    number = band[0, -1] + 1  # the corners, whose frequencies no row reaches, would be a fraction of a band
    per_band = np.bincount(band.ravel())

    def mean(products: np.ndarray) -> np.ndarray:
        over_images = products.mean(0).reshape(-1, 3) / band.size  # the share of one pixel
        sums = [np.bincount(band.ravel(), weights=over_images[:, colour]) for colour in range(3)]
        return (np.stack(sums, -1) / per_band[:, None])[:number]

    return Spectrum(np.asarray(colours, np.float64), mean(t * t), mean(t * x), mean(x * x))


def error_colours(
    truths: Float[np.ndarray, "n h w 3"], reconstructions: Float[np.ndarray, "n h w 3"]
) -> Float[np.ndarray, "3 3"]:
    """Computes the eigenvectors, as columns, of the 3x3 covariance of a reconstruction's error."""
    errors = (_levels(truths) - _levels(reconstructions)).reshape(-1, 3)
    return np.linalg.eigh(np.cov(errors.T))[1]


def interpolate(below: Spectrum, above: Spectrum, share: float) -> Spectrum:
    """Interpolates from one spectrum (share 0) to another of the same colours (share 1).

    Raises:
      ValueError: their colours differ.
    """
    if not np.array_equal(below.colours, above.colours):
        raise ValueError("the spectra have different colours; measure one with the `colours` of the other.")
    moments = [(1 - share) * a + share * b for a, b in zip(below[1:], above[1:], strict=True)]
    return Spectrum(below.colours, *moments)


def in_colours(spectrum: Spectrum, colours: Float[np.ndarray, "3 3"]) -> Spectrum:
    """Converts a spectrum to other colours, an orthogonal `[3, 3]`; correlations between these are left out."""
    share = (spectrum.colours.T @ colours) ** 2
    return Spectrum(colours, *(moment @ share for moment in spectrum[1:]))


def without_generator(spectrum: Spectrum) -> Spectrum:
    """Returns the spectrum of a reconstruction that is mid-grey everywhere, which knows of pictures alone."""
    return spectrum._replace(cross=0 * spectrum.cross, reconstruction=0 * spectrum.reconstruction)


def gain_and_variance(
    spectrum: Spectrum, shape: tuple[int, int], fidelity: float
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"]]:
    """Computes how far to trust each coefficient of the reconstruction, for pictures of a shape.

    Args:
      spectrum: the measured spectrum.
      shape: height and width in pixels.
      fidelity: 0 takes the reconstruction as it is; 1 takes the regression of the truth on it, which is less detailed
        and nearer to the truth. The regression's factor is kept between 0 and 1, also where a few faces suggest
        another one.
    Returns:
      The factor a of each of the reconstruction's coefficients, and the variance of the coefficients of
      `truth - a reconstruction`.
    """
    _, truth, cross, own = spectrum
    regression = np.clip(np.divide(cross, own, out=np.zeros_like(cross), where=own > 0), 0, 1)
    gain = 1 - fidelity + fidelity * regression
    variance = np.maximum(truth - 2 * gain * cross + gain**2 * own, LEAST * truth + 1e-12)
    log_frequency = np.log2(np.maximum(frequencies(shape), 1e-9))
    centres = (np.arange(1, len(truth)) - 0.5) / 2  # the centres of all bands but the mean's, in octaves
    last = slice(-2 * OCTAVES, None)
    gains, variances = np.empty((*shape, 3)), np.empty((*shape, 3))
    for colour in range(3):
        gains[..., colour] = np.interp(log_frequency, centres, gain[1:, colour])
        logs = np.log2(variance[1:, colour])
        slope = np.polyfit(centres[last], logs[last], 1)[0]
        beyond = slope * np.maximum(log_frequency - centres[-1], 0)
        variances[..., colour] = np.exp2(np.interp(log_frequency, centres, logs) + beyond)
    gains[0, 0], variances[0, 0] = gain[0], variance[0]
    return gains, variances * (shape[0] * shape[1])


def frequencies(shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Computes the radial frequency of each DCT coefficient in half cycles per picture width."""
    height, width = shape
    return np.hypot(np.arange(height)[:, None] * (width / height), np.arange(width)[None, :])


def bands(shape: tuple[int, int]) -> Int[np.ndarray, "h w"]:
    """Computes the number of the band of each DCT coefficient."""
    octaves = np.log2(np.maximum(frequencies(shape), 0.5))  # the mean lies below the first band
    return np.maximum(np.floor(2 * octaves + 1e-9).astype(int) + 1, 0)


def coefficients(levels: Float[np.ndarray, "*n h w 3"], colours: Float[np.ndarray, "3 3"]) -> np.ndarray:
    """Computes the orthonormal DCT-II of the decorrelated colours."""
    return fft.dctn(levels @ colours, axes=(-3, -2), norm="ortho")


def from_coefficients(values: Float[np.ndarray, "*n h w 3"], colours: Float[np.ndarray, "3 3"]) -> np.ndarray:
    """Inverts `coefficients`; as that is orthogonal, this is also its transpose."""
    return fft.idctn(values, axes=(-3, -2), norm="ortho") @ colours.T


def _levels(images: np.ndarray) -> np.ndarray:
    return np.clip(np.asarray(images, np.float64), -1, 1) / 2
