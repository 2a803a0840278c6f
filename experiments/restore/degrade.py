"""The damages that tasks stand for, the picture that they leave of a face, and what is assumed of it."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.options import Damage
from experiments.restore import own
from jaxgan import images, masks, parameters, tasks, truths
from jaxgan.degradations import JPEG, Compose, Degradation, GaussianBlur, Grayscale, MotionBlur
from jaxgan.errors import UserError
from jaxgan.photos.mask_files import read_mask
from jaxgan.truths import Compression, Exactly, Hole, PoissonNoise, Reduction, Truth


class Observation(NamedTuple):
    """What is known of a face.

    Attributes:
      observed: the face in 8 bits, `[H, W, 3]`; what is missing is shown in the colour that LPIPS maps to zero.
      assumed: the degradation that is assumed to have led to it; a parameter that is unknown has any value.
    """

    observed: Float[Array, "h w 3"]
    assumed: Degradation


def observe(
    damage: Damage,
    pixels: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    compression: JPEG | None = None,
    seed: int = 0,
    draws: bool = False,
) -> Observation:
    """Damages a face, unless that has happened already.

    Args:
      damage: what happened or is to happen, as the user says.
      pixels: of the face, uint8 `[resolution, resolution, 3]`.
      mask: inpaint: 1 where the face is observed; default `crop_mask`.
      compression: dejpeg: that of the file, if the photograph is damaged already and the face has the file's pixels.
      seed: of everything random.
      draws: whether the optimiser assumes noise that is drawn anew in every step, instead of its mean.
    Raises:
      UserError: the damage does not fit a face of that size.
    """
    resolution = len(pixels)
    if "inpaint" in damage.tasks and mask is None:
        mask = crop_mask(damage, resolution)
    if not damage.already_degraded:
        pixels = truths.damage(happened(damage, resolution, mask), pixels, seed)
    believed = dataclasses.replace(
        damage,
        kernel_size=_taps(damage, resolution) if damage.assume_kernel_size is None else damage.assume_kernel_size,
        sigma=damage.sigma if damage.assume_sigma is None else damage.assume_sigma,
    )
    if "sigma" in damage.blind:
        believed = dataclasses.replace(believed, kernel_size=None)
    observed = jnp.asarray(images.to_float(pixels))
    assumed = truths.assumed(happened(believed, resolution, mask, compression), observed, draws=draws)
    assumed = parameters.with_parameters(assumed, parameters.guess(assumed, damage.blind, resolution))
    hidden = images.to_uint8(np.asarray(_hidden(assumed, observed)))
    return Observation(jnp.asarray(images.to_float(hidden)), assumed)


def in_crop(damage: Damage, scale: float, *, factor: int = 1, photons: float | None = None) -> Damage:
    """The damage of a photograph in pixels of the crop; a face that is only to be damaged has it as it is stated.

    Args:
      damage: lengths are in pixels of the photograph, and photons are those of one of its pixels.
      scale: photograph's pixels per pixel of the crop.
      factor: how many times fewer pixels the photograph has of the face.
      photons: of a pixel of the crop, where the user stated none.
    """
    if not damage.already_degraded:
        return damage
    gathered = None if damage.photons is None else damage.photons * max(1.0, scale) ** 2
    return dataclasses.replace(
        damage,
        sigma=None if damage.sigma is None else damage.sigma / scale,
        assume_sigma=None if damage.assume_sigma is None else damage.assume_sigma / scale,
        motion=None if damage.motion is None else (damage.motion[0] / scale, damage.motion[1]),
        factor=factor,
        photons=photons if gathered is None else gathered,
    )


def happened(damage: Damage, resolution: int, mask: np.ndarray | None, compression: JPEG | None = None) -> list[Truth]:
    """What happened to a face, one after the other.

    Args:
      damage: as the user says.
      resolution: of the face.
      mask: for "inpaint".
      compression: for "dejpeg", of a photograph that is damaged already; without it, nothing is known of that.
    Raises:
      UserError: the blur or the factor does not fit a face of that size.
    """
    optics: list[Degradation] = []
    if "own" in damage.tasks:
        optics.append(own.load(str(damage.degradation)))
    if "deblur" in damage.tasks:
        optics.append(_blur(resolution, damage))
    if "colorize" in damage.tasks:
        optics.append(Grayscale())
    # Rounded to 8 bits once, for no file lies between a lens and a film.
    result: list[Truth] = [Exactly(optics[0] if len(optics) == 1 else Compose(tuple(optics)))] if optics else []
    level = tasks.LEVELS["M"]
    if "upsample" in damage.tasks:
        result.append(Reduction(_factor(resolution, damage.factor)))
    if "denoise" in damage.tasks:
        photons = level.photons if damage.photons is None else damage.photons
        result.append(PoissonNoise(photons, level.drop if damage.drop is None else damage.drop))
    if compression is not None:
        result.append(Exactly(compression))
    elif "dejpeg" in damage.tasks and not damage.already_degraded:
        result.append(Compression(level.quality if damage.quality is None else damage.quality))
    if mask is not None:
        result.append(Hole(mask))
    return result


def _factor(resolution: int, factor: int | None) -> int:
    if factor is None:
        return tasks.factor_at(resolution)
    if factor > tasks.factor_at(resolution, factor):
        raise UserError(
            f"--factor is {factor}; expected at most {resolution // 8}, which leaves 8 of {resolution} pixels."
        )
    return factor


def _blur(resolution: int, damage: Damage) -> Degradation:
    if damage.motion is not None and "length" in damage.blind:
        longest = parameters.longest_motion(resolution, damage.motion[1])
        _check_range("--motion", damage.motion[0], resolution / 4, "length")
        return dataclasses.replace(longest, length=jnp.float32(damage.motion[0]))
    if damage.motion is not None:
        return motion(resolution, *damage.motion, any_length=damage.already_degraded)
    default = GaussianBlur.for_resolution(resolution)
    kernel_size = _taps(damage, resolution)
    sigma = float(default.sigma) if damage.sigma is None else damage.sigma
    if "sigma" in damage.blind:
        _check_range("--sigma", sigma, (parameters.widest_blur(resolution).kernel_size // 2) / 3, "sigma")
    if kernel_size // 2 >= resolution:
        raise UserError(f"the kernel size is {kernel_size}; expected an odd number from 1 to {2 * resolution - 1}.")
    return GaussianBlur(jnp.float32(sigma), kernel_size)


def _taps(damage: Damage, resolution: int) -> int:
    """The taps of a Gaussian blur: as stated, the default's, or for a sigma that is stated as many as fit the picture.

    Wider kernels cost nothing, as a blur is a matrix anyway; so that faces of all sigmas share a program.
    """
    if damage.kernel_size is not None:
        return damage.kernel_size
    if "sigma" in damage.blind:
        return parameters.widest_blur(resolution).kernel_size
    return GaussianBlur.for_resolution(resolution).kernel_size if damage.sigma is None else 2 * resolution - 1


def _check_range(option: str, value: float, most: float, name: str) -> None:
    if value > most:
        raise UserError(f"{option} is {value:g}; --blind {name} looks for up to {most:g} pixels of the face.")


def true_values(damage: Damage, resolution: int) -> dict[str, float]:
    """The unknown parameters as they damage a sample, for comparison; none of a photograph that is damaged already."""
    if damage.already_degraded:
        return {}
    level = tasks.LEVELS["M"]
    stated = {name: getattr(damage, name) for name in ("sigma", "photons", "drop", "quality")}
    stated["length"] = None if damage.motion is None else damage.motion[0]
    stated["factor"] = _factor(resolution, damage.factor) if "factor" in damage.blind else None
    defaults = {"sigma": float(GaussianBlur.for_resolution(resolution).sigma), **level._asdict()}
    return {name: float(defaults[name] if stated[name] is None else stated[name]) for name in damage.blind}


def motion(resolution: int, length: float, angle: float, *, any_length: bool) -> MotionBlur:
    """A motion with room for any whose length is in the same octave, so that one program serves them all.

    Args:
      resolution: of the face.
      length, angle: of the path.
      any_length: makes room for any length: faces of one photograph have their own scales.
    Raises:
      UserError: the path is longer than the picture.
    """
    if length > resolution:
        raise UserError(f"the motion is {length:g} pixels long; expected at most {resolution}, the size of the face.")
    longest = float(resolution) if any_length else min(_octave(length), float(resolution))
    return MotionBlur.of(length, angle, longest=longest)


def octave(damage: Damage) -> float | None:
    """Tells motions apart that take programs of their own; None without a motion, 0 for those of any length."""
    if damage.motion is None or "deblur" not in damage.tasks:
        return None
    return 0.0 if damage.already_degraded else _octave(damage.motion[0])


def _octave(length: float) -> float:
    return 2.0 ** math.ceil(math.log2(max(length, 4)))


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


@jax.jit
def _hidden(degradation: Degradation, observed: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    return degradation.hide_missing(observed)


@jax.jit
def apply(degradation: Degradation, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """A degradation, compiled; holes are shown in the colour that LPIPS maps to zero."""
    return degradation.hide_missing(degradation(image))
