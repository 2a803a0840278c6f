"""The settings that decide the result of a run: how they are stored and compared; and the versions that computed it."""

from __future__ import annotations

import json
import platform
import zlib
from importlib import metadata
from pathlib import Path
from typing import Any

import jax


def key_for(seed: int, path: Path, face: int = 0) -> jax.Array:
    """The key of a face: from the seed, the photograph's file name and the face, never from its place among others."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(path.name.encode()))
    return jax.random.fold_in(key, face) if face else key


def seed_of(path: Path, face: int = 0) -> int:
    """The seed of a face's damage, from the photograph's file name and the face."""
    return zlib.crc32(f"{path.name} {face}".encode())


def as_stored(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a file of JSON gives them back, so that the two can be compared."""
    return json.loads(json.dumps(settings, default=str))


def versions() -> dict[str, str]:
    """Versions of the packages that computed a result, and the machine."""
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
    """Everything that differs between two trees of settings, a phrase each."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [line for k in sorted(old.keys() | new.keys()) for line in differences(old.get(k), new.get(k), k)]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return list(dict.fromkeys(line for pair in zip(old, new, strict=True) for line in differences(*pair, name)))
    return [] if old == new else [f"{name}: {old} then, {new} now"]
