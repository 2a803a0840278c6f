"""Reads generators of BasicSR, alone or as the decoder of GFPGAN, which are rosinality's network under other names.

References:
  Wang et al., "Towards Real-World Blind Face Restoration with Generative Facial Prior" (GFPGAN), 2021,
  arXiv 2101.04061.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from convert.formats import rosinality
from convert.found import Found
from convert.rules import ConversionError

FORMAT, FORMAT_GFPGAN = "basicsr", "gfpgan-decoder"
SIGN = "constant_input.weight"
"""The array by whose name these state dicts are told."""
CLEAN_SIGN = "style_conv1.bias"
"""An array that only GFPGAN's "clean" decoder has."""
SAME_NAMES = "BasicSR's bilinear variant has the same names, and no filter: the file does not say which one it is"


def find(arrays: Mapping[str, np.ndarray], latent_avg: np.ndarray | None, *, name: str, **settings: Any) -> Found:
    """Finds the generator in a state dict.

    Args:
      arrays: {"style_mlp.1.weight": array, ...}
      latent_avg, name, settings: see `rosinality.find`.
    Raises:
      ConversionError: the state dict holds another network.
    """
    if CLEAN_SIGN in arrays:
        raise ConversionError(
            "this is the 'clean' decoder of GFPGAN, which up-samples bilinearly and scales no weights: it is no "
            "StyleGAN2; it cannot be converted. That of GFPGANv1 can."
        )
    return rosinality.find(arrays, latent_avg, name=name, spelled=spelled, notes=[SAME_NAMES], **settings)


def spelled(name: str) -> str:
    """Returns BasicSR's name for an array of rosinality's: "convs.0.noise.weight" is "style_convs.0.weight"."""
    if name == rosinality.SIGN:
        return SIGN
    name = re.sub(r"^style\.", "style_mlp.", name)
    name = re.sub(r"\.noise\.weight$", ".weight", name)
    name = re.sub(r"\.conv\.(?=weight|modulation)", ".modulated_conv.", name)
    name = re.sub(r"^conv(?=1|s)", "style_conv", name)
    return name.replace("noises.noise_", "noises.noise")
