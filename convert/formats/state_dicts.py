"""Reads generators in state dicts, of several projects that describe themselves and of the official ones that do not.

A state dict has arrays only. The official one does not say whether activations are clamped, or which learning-rate
multiplier the mapping network has; both come from the configuration of a network of the same training (`--like`).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from convert.formats import basicsr, genforce, official_names, other_networks, roles, rosinality
from convert.formats.roles import Which
from convert.found import Found, assemble, check_sizes
from convert.inference import check_square, infer_taps
from convert.rules import ConversionError, NothingFoundError
from jaxgan.checkpoints import DEMO_FOLDER
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig

FORMAT = "state-dict"
OFFICIAL_SIGN = "synthesis.b4.const"
SIGNS = (OFFICIAL_SIGN, rosinality.SIGN, basicsr.SIGN, genforce.SIGN)
"""The name of an array that all generators of a format have, for each format."""
MEAN_LATENTS = ("latent_avg", "mean_latent")
WRAPPERS = ("module", "state_dict", "model", "models", "net", "networks", "_orig_mod", "params", "params_ema")
"""Prefixes that stand before the names of all networks of a file."""

ENCODER = "the encoder, which is another network"
HYPERNETWORK = "a hypernetwork, which changes the weights for each photograph"
AROUND = "GFPGAN's network around the decoder"
TOLD = (ENCODER, HYPERNETWORK, AROUND)
"""Reasons that a user should know, because without these networks the generator makes other images than the whole."""
IGNORED = {
    r"d|D|netD|critic_.*|.*discriminator.*": "the discriminator",
    r".*optim.*|.*scheduler.*|.*scaler.*|.*rng.*|.*random_state.*|lr": "the state of the training",
    r"e|E|encoder.*|.*_?encoder(_.*)?": ENCODER,
    r"hyper.*|weight_?deltas?.*": HYPERNETWORK,
    r"latent_avg|mean_latent": "the mean latent, which belongs to the averaged generator",
    r"lpips.*|percept.*|vgg.*|arcface.*|facenet.*|face_pool.*|.*_loss.*|loss.*|criterion.*": "a part of the loss",
    r"ada.*|augment.*": "the augmentation",
    r"opts|args|config.*|progress|.*stats|.*history|metrics?|log.*": "settings or numbers of the training",
}
"""A dict {pattern of the first part of names beside the generator: the reason why they are not needed}."""
GFPGAN = r"conv_body.*|final_conv|final_linear|toRGB|condition_scale|condition_shift"


def find(
    arrays: Mapping[str, np.ndarray],
    *,
    which: Which,
    like: Path | None = None,
    **settings: Any,
) -> Found:
    """Finds a generator among all the arrays of a file.

    Args:
      arrays: arrays by dotted name, e.g. {"g_ema.style.1.weight": ..., "latent_avg": ...}.
      which: the averaged weights or the last ones.
      like: the config.json of a network of the same architecture, or its folder.
      settings: further fields of the configuration, e.g. `alignment_scale`.
    Raises:
      NothingFoundError: the generator is not there.
      ConversionError: there is something unknown besides the generator, or `like` is missing or unwanted.
    """
    generators = signs(arrays)
    if not generators:
        raise NothingFoundError(_nothing_found(arrays, which))
    last = ("generator",) if genforce.SIGN in generators.values() else ()
    prefix = roles.choose(generators, which, last=last)
    sign = generators[prefix]
    inner, reasons = _split(arrays, prefix, [f"{other}." for other in generators if other != prefix])
    if unknown := [name for name, reason in reasons.items() if reason is None]:
        shown = ", ".join(name[:80] for name in unknown[:5])
        raise ConversionError(f"{len(unknown)} arrays beside the generator are unknown: {shown}.")
    latent_avg = _mean_latent(prefix, inner, arrays) if which == "g_ema" else None
    if sign != OFFICIAL_SIGN and like is not None:
        raise ConversionError("a state dict of this format describes itself; leave --like out.")
    if sign == OFFICIAL_SIGN:
        found = _find_official(inner, like, settings)
    elif sign == genforce.SIGN:
        found = genforce.find(inner, **settings)
    elif sign == basicsr.SIGN:
        name = basicsr.FORMAT_GFPGAN if "stylegan_decoder" in prefix else basicsr.FORMAT
        found = basicsr.find(inner, latent_avg, name=name, **settings)
    else:
        name = "rosinality-decoder" if prefix.endswith("decoder") else "rosinality"
        found = rosinality.find(inner, latent_avg, name=name, **settings)
    told = sorted({reason for reason in reasons.values() if reason in TOLD})
    return dataclasses.replace(found, notes=(*found.notes, *(f"ignored beside the generator: {r}" for r in told)))


def _split(
    arrays: Mapping[str, np.ndarray], prefix: str, others: list[str]
) -> tuple[dict[str, np.ndarray], dict[str, str | None]]:
    """Splits arrays into those of a generator, by their names in it, and the reasons why the others are not needed."""
    start = f"{prefix}." if prefix else ""
    inner, reasons = {}, {}
    for name, array in arrays.items():
        reason = None if prefix and name.startswith(start) else _reason(name, array, others, prefix)
        if name.startswith(start) and reason is None:
            inner[name[len(start) :]] = array
        else:
            reasons[name] = reason
    return inner, reasons


def signs(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Returns {prefix of the names of a generator, without the dot: the sign by which it was recognised}."""
    return {
        name[: -len(sign) - 1]: sign for name in arrays for sign in SIGNS if name == sign or name.endswith(f".{sign}")
    }


def is_of_another_project(arrays: Mapping[str, np.ndarray]) -> bool:
    """Tells whether there is a generator that describes itself by its names alone."""
    return any(sign != OFFICIAL_SIGN for sign in signs(arrays).values())


def _reason(name: str, array: np.ndarray, others: list[str], prefix: str) -> str | None:
    """Returns the reason why an array beside the generator is not needed, or None."""
    if any(name.startswith(other) for other in others):
        return "the other one of the two generators"
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in WRAPPERS:
        parts = parts[1:]
    patterns = {**IGNORED, GFPGAN: AROUND} if "stylegan_decoder" in prefix else IGNORED
    reasons = (reason for pattern, reason in patterns.items() if re.fullmatch(pattern, parts[0]))
    return next(reasons, "a number beside the networks" if array.size == 1 and prefix else None)


def _mean_latent(prefix: str, inner: dict[str, np.ndarray], outer: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Finds the mean latent, which lies inside the generator, beside it, or beside its wrapper."""
    parents = prefix.split(".")
    names = [".".join([*parents[:depth], name]) for depth in range(len(parents)) for name in MEAN_LATENTS]
    found = [inner.pop(name) for name in MEAN_LATENTS if name in inner] + [
        outer[name] for name in names if name in outer
    ]
    return found[0] if found else None


def read_config(like: Path) -> GeneratorConfig:
    """Reads the configuration in the config.json of a network folder.

    Raises:
      ConversionError: the file is missing or describes no generator.
    """
    like = DEMO_FOLDER if str(like) == "demo" and not like.exists() else like
    path = like / "config.json" if like.is_dir() else like
    try:
        settings = json.loads(path.read_text())
        fields = settings.get("config", settings)
        arguments: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
        config = GeneratorConfig(**arguments)
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
    check_square(arrays[OFFICIAL_SIGN], config.resolution)
    filters = {name: array for name, array in arrays.items() if name.endswith("resample_filter")}
    if filters:
        taps, wanted = infer_taps(filters), official_names.filter_array(config)
        first = next(iter(filters.values()))
        if first.shape != wanted.shape or taps != infer_taps({"wanted": wanted}):
            raise ConversionError(f"its resample_filter has taps {taps}; --like says {config.resample_filter}.")
    ignored = dict.fromkeys(official_names.filter_names(config), official_names.IGNORED_FILTER)
    return assemble(FORMAT, config, arrays, official_names.generator_table(config), ignored)


def _nothing_found(arrays: Mapping[str, np.ndarray], which: str) -> str:
    # StyleGAN3's synthesis network starts from Fourier features, which its state dict has as `input.freqs`.
    if any(name.endswith("synthesis.input.freqs") for name in arrays):
        return "this is a StyleGAN3 (alias-free) network, not StyleGAN2; it cannot be converted."
    if other := other_networks.name_of(arrays):
        return f"this is a {other} network, not StyleGAN2; it cannot be converted."
    if not arrays:
        return "the file holds no arrays, and so no network."
    if project := other_networks.project_of(arrays):
        return f"its arrays are those of {project}; there is no StyleGAN2 generator that is read."
    shown = ", ".join(name[:60] for name in list(arrays)[:3])
    return f"there is no StyleGAN2 generator {which} among its {len(arrays)} arrays ({shown}, ...)."
