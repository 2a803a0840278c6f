"""What each task is done with where there is no generator: a method of scikit-image, as the opponent to beat."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from scipy import ndimage

from jaxgan.degradations import JPEG, Degradation, Denoising, GaussianBlur, Grayscale, Identity, Mask, Pooling

ITERATIONS = 30
"""Of Richardson-Lucy, scikit-image's default; more of them amplify the rounding to 8 bits."""

NAMES = {
    "invert": "the observation",
    "inpaint": "biharmonic",
    "deblur": "Richardson-Lucy",
    "colorize": "the grey image",
    "upsample": "bicubic",
    "denoise": "total variation",
    "dejpeg": "the decoded file",
}


def restore(degradation: Degradation, observed: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Undoes a degradation without knowing what faces look like.

    Args:
      degradation: `Mask` (biharmonic functions), `GaussianBlur` (Richardson-Lucy), `Pooling` (bicubic enlargement),
        `Denoising` (dropped pixels from the nearest ones, then total variation), `Grayscale`, `JPEG` or `Identity`
        (nothing can be, or is to be done).
      observed: RGB in [-1, 1].
    Returns:
      RGB in [-1, 1].
    Raises:
      TypeError: no method is known for the degradation.
    References:
      Damelin & Hoang, "On Surface Completion and Image Inpainting by Biharmonic Functions", 2018, arXiv 1707.06567.
      Rudin, Osher & Fatemi, "Nonlinear Total Variation Based Noise Removal Algorithms", 1992, Physica D 60.
      Richardson, "Bayesian-Based Iterative Method of Image Restoration", 1972, J. Opt. Soc. Am. 62(1).
    """
    from skimage import restoration

    unit = (np.asarray(observed) + 1) / 2  # [0, 1]
    match degradation:
        case Identity() | Grayscale() | JPEG():
            restored = unit
        case Pooling():
            restored = _enlarged(unit, int(degradation.factor))
        case Denoising():
            restored = _denoised(unit, np.asarray(degradation.mask) < 0.5, float(degradation.photons))
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


def _enlarged(unit: Float[np.ndarray, "h w 3"], factor: int) -> Float[np.ndarray, "h w 3"]:
    """The small picture, a pixel per tile, enlarged by Pillow."""
    height, width = unit.shape[:2]
    channels = (Image.fromarray(unit[::factor, ::factor, c].astype(np.float32)) for c in range(3))
    return np.stack([np.asarray(c.resize((width, height), Image.Resampling.BICUBIC)) for c in channels], -1)


def _denoised(
    unit: Float[np.ndarray, "h w 3"], dropped: Bool[np.ndarray, "h w"], photons: float
) -> Float[np.ndarray, "h w 3"]:
    """Total variation, as strong as the noise of the mean level asks for."""
    from skimage import restoration

    if dropped.all():
        return unit
    rows, columns = ndimage.distance_transform_edt(dropped, return_distances=False, return_indices=True)
    filled = unit[rows, columns]
    return restoration.denoise_tv_chambolle(filled, weight=np.sqrt(filled.mean() / photons), channel_axis=-1)
