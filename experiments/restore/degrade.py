"""The four tasks: which degradation each stands for, and the settings of the optimisation that suit it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from jaxgan import images, masks
from jaxgan.degradations import Compose, Degradation, GaussianBlur, Grayscale, Identity, Mask
from jaxgan.errors import UserError
from jaxgan.inversion_config import InversionConfig

if TYPE_CHECKING:
    from experiments.invert import Config

ORDER = ("deblur", "colorize", "inpaint")
"""Degradations are applied in this order: optics, then film, then scratches."""


def inversion_config(config: Config) -> InversionConfig:
    """The task's defaults, with what the user set in their place."""
    task = "colorize" if "colorize" in config.tasks else config.task  # the one that needs the strongest prior
    return with_settings(InversionConfig.for_task(task), config)


def with_settings(base: InversionConfig, options: object) -> InversionConfig:
    """Replaces what the options of the same names give, where they are not None.

    Raises:
      UserError: a value is out of range.
    """
    names = {field.name for field in dataclasses.fields(InversionConfig)}
    given = {name: value for name, value in vars(options).items() if name in names and value is not None}
    try:
        return dataclasses.replace(base, **given)
    except ValueError as error:
        raise UserError(str(error)) from None


def degradations(config: Config, resolution: int, mask: np.ndarray | None = None) -> tuple[Degradation, Degradation]:
    """What happens to a face crop, and what the optimiser assumes happened.

    Args:
      config: the command's options.
      resolution: of the crop.
      mask: inpaint: 1 where the crop is observed; default `crop_mask`.
    Raises:
      UserError: a parameter is out of range, belongs to a task not asked for, or the mask does not fit.
    """
    check_options(config)
    true, assumed = [], []
    for task in [task for task in ORDER if task in config.tasks]:
        if task == "deblur":
            true.append(_blur(resolution, config.kernel_size, config.sigma))
            assumed.append(
                _blur(
                    resolution,
                    true[-1].kernel_size if config.assume_kernel_size is None else config.assume_kernel_size,
                    float(true[-1].sigma) if config.assume_sigma is None else config.assume_sigma,
                )
            )
        else:
            part = (
                Grayscale()
                if task == "colorize"
                else Mask(jnp.asarray(crop_mask(config, resolution) if mask is None else mask))
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
    if kernel_size < 1 or kernel_size % 2 == 0 or kernel_size // 2 >= resolution:
        raise UserError(f"the kernel size is {kernel_size}; expected an odd number from 1 to {2 * resolution - 1}.")
    if not 0 < sigma < float("inf"):
        raise UserError(f"sigma is {sigma}; expected a positive number of pixels.")
    return GaussianBlur(jnp.float32(sigma), kernel_size)


def crop_mask(config: Config, resolution: int) -> np.ndarray:
    """The mask of a face crop: made, or read from a file of the crop's size.

    Raises:
      UserError: the box is none, or the file is of another size.
    """
    if config.mask is None:
        try:
            if config.mask_kind == "box":
                return masks.box(resolution, *config.mask_box)
            return masks.half(resolution) if config.mask_kind == "half" else masks.strokes(config.mask_seed, resolution)
        except ValueError as error:
            raise UserError(str(error)) from None
    mask = images.read_mask(config.mask)
    if mask.shape != (resolution, resolution):
        raise UserError(
            f"{config.mask} is {mask.shape[1]}x{mask.shape[0]}; expected {resolution}x{resolution}, the size of the "
            "aligned image (target.png of a run shows what the mask is laid over)."
        )
    return mask


def check_options(config: Config) -> None:
    """An option that would do nothing is a mistake, and so is one that is needed and not given.

    Raises:
      UserError: there is such an option.
    """
    belongs = {
        "inpaint": ("mask", "mask_kind", "mask_seed", "mask_box"),
        "deblur": ("kernel_size", "sigma", "assume_kernel_size", "assume_sigma"),
    }
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    idle = [
        f"--{name.replace('_', '-')} belongs to {task}"
        for task, names in belongs.items()
        for name in names
        if task not in config.tasks and getattr(config, name) != defaults[name]
    ]
    if idle:
        raise UserError(f"{'; '.join(idle)}, but the task is {config.task}. Leave it out, or add --also.")
    if config.mask is not None and config.mask_kind != "strokes":
        raise UserError("--mask and --mask-kind exclude each other; leave one out.")
    if config.mask_box != defaults["mask_box"] and config.mask_kind != "box":
        raise UserError("--mask-box belongs to --mask-kind box; add that, or leave it out.")
    if config.mask_seed != defaults["mask_seed"] and (config.mask is not None or config.mask_kind != "strokes"):
        raise UserError("--mask-seed belongs to the random strokes; leave it out.")
    if config.already_degraded and "inpaint" in config.tasks and config.mask is None and config.mask_kind == "strokes":
        raise UserError(
            "--already-degraded with inpaint needs --mask FILE: where the photograph is damaged cannot be guessed."
        )
    for name in ("face", "landmarks", "eyes", "landmarks_model"):
        if config.already_aligned and getattr(config, name) != defaults[name]:
            raise UserError(f"--{name.replace('_', '-')} has no effect with --already-aligned; leave one out.")
    if config.paste_format != defaults["paste_format"] and not config.paste_back:
        raise UserError("--paste-format belongs to --paste-back; add that, or leave it out.")
    if config.resume and config.overwrite:
        raise UserError("--resume and --overwrite exclude each other; leave one out.")
    if config.snapshot_every < 1:
        raise UserError(f"--snapshot-every is {config.snapshot_every}; expected 1 step or more.")
