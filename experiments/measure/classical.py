"""What each task is done with where there is no generator: a method of scikit-image, as the opponent to beat."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from jaxgan.degradations import Degradation, GaussianBlur, Grayscale, Identity, Mask

ITERATIONS = 30
"""Of Richardson-Lucy, scikit-image's default; more of them amplify the rounding to 8 bits."""

NAMES = {
    "invert": "the observation",
    "inpaint": "biharmonic",
    "deblur": "Richardson-Lucy",
    "colorize": "the grey image",
}


def restore(degradation: Degradation, observed: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Undoes a degradation without knowing what faces look like.

    Args:
      degradation: `Mask` (biharmonic functions), `GaussianBlur` (Richardson-Lucy), `Grayscale` or `Identity` (nothing
        can be, or is to be done).
      observed: RGB in [-1, 1].
    Returns:
      RGB in [-1, 1].
    Raises:
      TypeError: no method is known for the degradation.
    References:
      Damelin & Hoang, "On Surface Completion and Image Inpainting by Biharmonic Functions", 2018, arXiv 1707.06567.
      Richardson, "Bayesian-Based Iterative Method of Image Restoration", 1972, J. Opt. Soc. Am. 62(1).
    """
    from skimage import restoration

    unit = (np.asarray(observed) + 1) / 2  # [0, 1]
    match degradation:
        case Identity() | Grayscale():
            restored = unit
        case Mask():
            hole = np.asarray(degradation.mask) < 0.5
            restored = restoration.inpaint_biharmonic(np.where(hole[:, :, None], 0, unit), hole, channel_axis=-1)
        case GaussianBlur():
            restored = _deconvolve(unit, degradation)
        case _:
            raise TypeError(f"no classical method for {type(degradation).__name__}")
    return np.clip(2 * restored - 1, -1, 1).astype(np.float32)


def _deconvolve(unit: Float[np.ndarray, "h w 3"], blur: GaussianBlur) -> Float[np.ndarray, "h w 3"]:
    from skimage import restoration

    radius = blur.kernel_size // 2
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / float(blur.sigma)) ** 2)
    psf = np.outer(taps, taps) / taps.sum() ** 2
    # The blur mirrors the border; so does this, for the deconvolution knows zeros outside only and rings from there.
    height, width = unit.shape[:2]
    border = min(height, width) - 1
    padded = np.pad(unit, ((border, border), (border, border), (0, 0)), mode="reflect")
    channels = [restoration.richardson_lucy(padded[:, :, c], psf, ITERATIONS) for c in range(3)]
    return np.stack(channels, -1)[border : border + height, border : border + width]
