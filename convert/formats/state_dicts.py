"""Generators in state dicts: rosinality's, which describe themselves, and those under the official names, which do not.

A state dict has arrays only. The official one does not say whether activations are clamped, or which learning-rate
multiplier the mapping network has: that comes from the configuration of a network of the same training (`--like`).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from flax import nnx

from convert.formats import official_names, other_networks, rosinality
from convert.found import Found, check_sizes
from convert.inference import infer_taps
from convert.rules import ConversionError
from jaxgan.checkpoints import DEMO_FOLDER
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig

FORMAT = "state-dict"
OFFICIAL_SIGN = "synthesis.b4.const"
PREFIXES = {
    "g_ema": ("g_ema.", "G_ema.", "state_dict.decoder.", "decoder.", "state_dict.", ""),
    "g": ("g.", "G."),
}
"""Where a generator may lie in a file of `torch.save`."""
MEAN_LATENTS = ("latent_avg", "state_dict.latent_avg")

IGNORED = {
    r"(g|g_ema|G|G_ema)\..*": "the other one of the two generators",
    r"(d|D|discriminator|discriminator_state_dict)\..*": "the discriminator",
    r"[a-z_]*optim[a-z_]*\..*": "the state of an optimizer",
    r"(state_dict\.)?(encoder|encoder_[a-z_]+)\..*": "the encoder, which is another network",
    r"(state_dict\.)?latent_avg": "the mean latent, which belongs to the averaged generator",
    r"ada_aug_p|iter|global_step|opts\..*|args\..*": "a number of the training",
}
"""{pattern of names outside the generator: why it is not needed}"""


def find(
    arrays: Mapping[str, np.ndarray],
    *,
    which: Literal["g_ema", "g"],
    like: Path | None = None,
    **settings: Any,
) -> Found:
    """Finds a generator among all the arrays of a file.

    Args:
      arrays: by dotted name, e.g. {"g_ema.style.1.weight": ..., "latent_avg": ...}
      which: the averaged weights, the last ones.
      like: config.json of a network of the same architecture, or its folder.
      settings: further fields of the configuration, e.g. `alignment_scale`.
    Raises:
      ConversionError: there is no generator, something unknown besides it, or `like` is missing or unwanted.
    """
    for prefix in PREFIXES[which]:
        inner = {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
        if rosinality.SIGN in inner or OFFICIAL_SIGN in inner:
            break
    else:
        raise ConversionError(_nothing_found(arrays, which))
    is_rosinality = rosinality.SIGN in inner
    latent_avg = next((arrays[name] for name in MEAN_LATENTS if name in arrays), None) if which == "g_ema" else None
    outer = [name for name in arrays if not name.startswith(prefix)]
    if not prefix:  # everything is at the top
        inner.pop("latent_avg", None)
    unknown = [n for n in outer if n not in MEAN_LATENTS and not any(re.fullmatch(p, n, re.DOTALL) for p in IGNORED)]
    if unknown:
        shown = ", ".join(name[:80] for name in unknown[:5])
        raise ConversionError(f"{len(unknown)} arrays beside the generator are unknown: {shown}.")
    if is_rosinality:
        if like is not None:
            raise ConversionError("a state dict of rosinality's describes itself; leave --like away.")
        name = "rosinality-decoder" if prefix.endswith("decoder.") else "rosinality"
        return rosinality.find(inner, latent_avg, name=name, **settings)
    return _find_official(inner, like, settings)


def read_config(like: Path) -> GeneratorConfig:
    """Reads the configuration in config.json of a network folder.

    Raises:
      ConversionError: the file is missing or describes no generator.
    """
    like = DEMO_FOLDER if str(like) == "demo" and not like.exists() else like
    path = like / "config.json" if like.is_dir() else like
    try:
        settings = json.loads(path.read_text())
        fields = settings.get("config", settings)
        config = GeneratorConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()})
        check_sizes(config)
        nnx.eval_shape(lambda: Generator(config, rngs=nnx.Rngs(0)))  # a wrong type shows here
        return config
    except (OSError, ValueError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ConversionError(f"--like {path} describes no generator: {error}") from None


def _find_official(arrays: Mapping[str, np.ndarray], like: Path | None, settings: Mapping[str, Any]) -> Found:
    if like is None:
        raise ConversionError(
            "a plain state dict does not say all of its network (conv_clamp, mapping_lr_multiplier); give the "
            "configuration of one like it: --like NETWORK/config.json."
        )
    try:
        config = dataclasses.replace(read_config(like), **settings)
    except ConversionError:
        raise
    except (TypeError, ValueError) as error:
        raise ConversionError(str(error)) from None
    # float32: of arrays in half precision, which are refused, the weights are to be named
    filters = {name: np.float32(array) for name, array in arrays.items() if name.endswith("resample_filter")}
    if filters:
        taps, wanted = infer_taps(filters), official_names.filter_array(config)
        first = next(iter(filters.values()))
        if first.shape != wanted.shape or not np.allclose(first, wanted, atol=1e-6):
            raise ConversionError(f"its resample_filter has taps {taps}; --like says {config.resample_filter}.")
    ignored = dict.fromkeys(official_names.filter_names(config), official_names.IGNORED_FILTER)
    return Found(FORMAT, config, arrays, official_names.generator_table(config), ignored)


def _nothing_found(arrays: Mapping[str, np.ndarray], which: str) -> str:
    # StyleGAN3's synthesis network starts from Fourier features, which its state dict has as `input.freqs`.
    if any(name.endswith("synthesis.input.freqs") for name in arrays):
        return "this is a StyleGAN3 (alias-free) network, not StyleGAN2; it cannot be converted."
    if other := other_networks.name_of(arrays):
        return f"this is a {other} network, not StyleGAN2; it cannot be converted."
    shown = ", ".join(name[:60] for name in list(arrays)[:3]) or "none at all"
    return f"there is no StyleGAN2 generator {which} among its {len(arrays)} arrays ({shown}, ...)."
