"""The degradations that tasks stand for, and the picture that they leave of a face."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.options import Damage
from jaxgan import images, masks
from jaxgan.degradations import Compose, Degradation, GaussianBlur, Grayscale, Identity, Mask
from jaxgan.errors import UserError
from jaxgan.photos.mask_files import read_mask

ORDER = ("deblur", "colorize", "inpaint")
"""Degradations are applied in this order: optics, then film, then scratches."""


def degradations(damage: Damage, resolution: int, mask: np.ndarray | None = None) -> tuple[Degradation, Degradation]:
    """What happens to a face crop, and what the optimiser assumes happened.

    Args:
      damage: what happened, as the user says.
      resolution: of the crop.
      mask: inpaint: 1 where the crop is observed; default `crop_mask`.
    Raises:
      UserError: the blur is too large for the crop, or the mask does not fit.
    """
    true, assumed = [], []
    for task in [task for task in ORDER if task in damage.tasks]:
        if task == "deblur":
            true.append(_blur(resolution, damage.kernel_size, damage.sigma))
            assumed.append(
                _blur(
                    resolution,
                    true[-1].kernel_size if damage.assume_kernel_size is None else damage.assume_kernel_size,
                    float(true[-1].sigma) if damage.assume_sigma is None else damage.assume_sigma,
                )
            )
        else:
            part = (
                Grayscale()
                if task == "colorize"
                else Mask(jnp.asarray(crop_mask(damage, resolution) if mask is None else mask))
            )
            true.append(part)
            assumed.append(part)
    return _compose(true), _compose(assumed)


def _compose(parts: list[Degradation]) -> Degradation:
    if not parts:
        return Identity()
    return parts[0] if len(parts) == 1 else Compose(tuple(parts))


def _blur(resolution: int, kernel_size: int | None, sigma: float | None) -> GaussianBlur:
    default = GaussianBlur.for_resolution(resolution)
    kernel_size = default.kernel_size if kernel_size is None else kernel_size
    sigma = float(default.sigma) if sigma is None else sigma
    if kernel_size // 2 >= resolution:
        raise UserError(f"the kernel size is {kernel_size}; expected an odd number from 1 to {2 * resolution - 1}.")
    return GaussianBlur(jnp.float32(sigma), kernel_size)


def crop_mask(damage: Damage, resolution: int) -> np.ndarray:
    """The mask of a face crop: made, or read from a file of the crop's size.

    Raises:
      UserError: the box is none, or the file is of another size.
    """
    if damage.mask is None:
        try:
            if damage.mask_kind == "box":
                return masks.box(resolution, *damage.mask_box)
            return masks.half(resolution) if damage.mask_kind == "half" else masks.strokes(damage.mask_seed, resolution)
        except ValueError as error:
            raise UserError(str(error)) from None
    mask = read_mask(damage.mask, invert=damage.mask_inversion)
    if mask.shape != (resolution, resolution):
        raise UserError(
            f"{damage.mask} is {mask.shape[1]}x{mask.shape[0]}; expected {resolution}x{resolution}, the size of the "
            "aligned image (truth.png of a run shows what the mask is laid over)."
        )
    return mask


def observe(degradation: Degradation, truth: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """The picture that a camera would have stored: degraded, clipped and rounded to 8 bits."""
    return jnp.asarray(images.to_float(images.to_uint8(np.asarray(apply(degradation, truth)))))


@jax.jit
def apply(degradation: Degradation, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """A degradation, compiled; holes are shown in the colour that LPIPS maps to zero."""
    return degradation.hide_missing(degradation(image))
