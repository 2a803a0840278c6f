"""What decides the result of a run, as its record keeps it, and the versions of what computed it."""

from __future__ import annotations

import dataclasses
import json
import platform
import zlib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from jaxgan import checkpoints
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig

if TYPE_CHECKING:
    from experiments.invert import Config


def key_for(seed: int, path: Path, face: int = 0) -> jax.Array:
    """The key of a face: from the seed, the photograph's file name and the face, never from its place among others."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(path.name.encode()))
    return jax.random.fold_in(key, face) if face else key


def options(config: Config) -> dict[str, Any]:
    """The options that decide a result; the others are recorded elsewhere, or have no effect on it."""
    places = ("image", "jobs", "output", "resume", "overwrite", "checkpoint_seconds", "paste_back", "paste_format")
    company = ("batch_size", "shard", "cluster", "seeds", "restarts")
    return {k: v for k, v in dataclasses.asdict(config).items() if k not in (*places, *company)}


def settings(config: Config, inversion: InversionConfig, path: Path, generator: Generator) -> dict[str, Any]:
    """What decides the result of a run: a resumed run must agree in all of it."""
    facts = {
        "options": options(config),
        "inversion": dataclasses.asdict(inversion),
        "image": str(path),
        "image_sha256": checkpoints.sha256(path),
        "mask_sha256": None if config.mask is None else checkpoints.sha256(config.mask),
        "landmarks_sha256": [checkpoints.sha256(file) for file in config.landmarks],
        "generator": dataclasses.asdict(generator.config),
    }
    return json.loads(json.dumps(facts, default=str))  # as a file gives it back, so that the two can be compared


def versions() -> dict[str, str]:
    """Versions of what computed the result, and the machine."""
    packages = {
        name: metadata.version(name) for name in ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
    }
    return {
        **packages,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": str(jax.devices()[0]),
    }


def differences(old: Any, new: Any, name: str = "") -> list[str]:
    """What differs between two trees of settings, a phrase each."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for k in sorted(old.keys() | new.keys()) for line in differences(old.get(k), new.get(k), k)]
    return [] if old == new else [f"{name}: {old} then, {new} now"]
