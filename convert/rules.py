"""Applies conversion tables both ways; a table has our path and a transform for each name of a PyTorch file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from jaxgan.errors import UserError


class ConversionError(UserError):
    """A checkpoint was read, but is not the network that the table describes."""


class NothingFoundError(ConversionError):
    """A checkpoint was read, but the generator that was asked for is not in it."""


@dataclasses.dataclass(frozen=True)
class Transform:
    """A change of array layout and its inverse."""

    name: str
    to_ours: Callable[[np.ndarray], np.ndarray]
    to_torch: Callable[[np.ndarray], np.ndarray]
    ndim: int | None = None
    """The number of dimensions of the torch array; None allows any."""


IDENTITY = Transform("identity", lambda a: a, lambda a: a)
LINEAR = Transform("OI -> IO", lambda a: a.transpose(1, 0), lambda a: a.transpose(1, 0), ndim=2)
CONV = Transform("OIHW -> HWIO", lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1), ndim=4)
FEATURES = Transform("CHW -> HWC", lambda a: a.transpose(1, 2, 0), lambda a: a.transpose(2, 0, 1), ndim=3)
CHANNELS = Transform("1C11 -> C", lambda a: a.reshape(-1), lambda a: a.reshape(1, -1, 1, 1), ndim=4)

# These are rosinality's layouts.
BATCHED_FEATURES = Transform(
    "1CHW -> HWC", lambda a: a[0].transpose(1, 2, 0), lambda a: a.transpose(2, 0, 1)[None], ndim=4
)
BATCHED_CONV = Transform(
    "1OIHW -> HWIO", lambda a: a[0].transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1)[None], ndim=5
)
MAP = Transform("11HW -> HW", lambda a: a[0, 0], lambda a: a[None, None], ndim=4)
SCALAR = Transform("1 -> scalar", lambda a: a.reshape(()) if a.size == 1 else a, lambda a: a.reshape(1), ndim=1)

# These are the layouts of genforce's up-convolutions.
MIRRORED_CONV = Transform(
    "OIHW, flipped -> HWIO",
    lambda a: a[:, :, ::-1, ::-1].transpose(2, 3, 1, 0),
    lambda a: a.transpose(3, 2, 0, 1)[:, :, ::-1, ::-1],
    ndim=4,
)

# These are TensorFlow's layouts.
FLIPPED_CONV = Transform("HWIO, flipped", lambda a: a[::-1, ::-1], lambda a: a[::-1, ::-1], ndim=4)
PLUS_ONE = Transform("+ 1", lambda a: a + a.dtype.type(1), lambda a: a - a.dtype.type(1), ndim=1)

Table = Mapping[str, tuple[str, Transform]]
"""A dict {torch name: (our path, transform)} in which every path stands once."""


def to_ours(
    table: Table,
    arrays: Mapping[str, np.ndarray],
    expected: Mapping[str, jax.ShapeDtypeStruct],
    *,
    ignored: Mapping[str, str] | None = None,
) -> dict[str, np.ndarray]:
    """Applies a table to the arrays of a file.

    Args:
      table: our path and the transform for each torch name.
      arrays: the file's arrays, by torch name.
      expected: the shape and dtype of every leaf of our network, see `jaxgan.checkpoints.network_shapes`.
      ignored: {torch name: reason} for the arrays that have no place in our network.
    Returns:
      {our path: contiguous array} with exactly the entries of `expected`.
    Raises:
      ConversionError: lists every array that is missing, unknown, misshapen, of another dtype or not finite.
    """
    ignored = ignored or {}
    paths = [path for path, _ in table.values()]
    assert len(set(paths)) == len(paths), "a table names a path twice"
    problems = [f"{name} is missing" for name in table if name not in arrays]
    problems += [f"{name} is unknown" for name in arrays if name not in table and name not in ignored]
    problems += [f"no array becomes {path}" for path in expected if path not in paths]
    problems += [
        f"{name} becomes {path}, which the network lacks" for name, (path, _) in table.items() if path not in expected
    ]
    check_sharing(arrays[name] for name in table if name in arrays)
    weights = {}
    for name, (path, transform) in table.items():
        if name not in arrays or path not in expected:
            continue
        array, leaf = arrays[name], expected[path]
        fits = transform.ndim in (None, array.ndim)
        fits = fits and (array.ndim < 4 or array.size > 0)
        converted = np.array(transform.to_ours(array), order="C") if fits else array
        if not fits or converted.shape != leaf.shape:
            problems.append(f"{name} has shape {array.shape}, which does not become {leaf.shape} ({transform.name})")
        elif converted.dtype != leaf.dtype:
            problems.append(f"{name} has dtype {array.dtype}, expected {leaf.dtype}")
        elif not np.isfinite(converted).all():
            problems.append(f"{name} has NaN or infinite entries")
        weights[path] = converted
    if problems:
        raise ConversionError(f"{len(problems)} problems: " + "; ".join(problems))
    return weights


def check_sharing(arrays: Iterable[np.ndarray]) -> None:
    """Refuses arrays that share their numbers many times, since copies would take far more memory than the file.

    Raises:
      ConversionError: the arrays have far more numbers than the memory behind them.
    """
    storages, claimed = {}, 0
    for array in arrays:
        root: Any = array
        while (base := getattr(root, "base", None)) is not None:  # the base of a strided view only holds an array
            root = base
        storages[id(root)] = root.nbytes if isinstance(root, np.ndarray | np.generic) else len(root)
        claimed += array.nbytes
    stored = sum(storages.values())
    if claimed > 2 * stored + 10**6:
        raise ConversionError(
            f"the network's arrays claim {claimed:,} bytes, but share {stored:,}; "
            "the layers of a network share nothing."
        )


def to_torch(table: Table, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inverts `to_ours`: returns our weights under torch names and in torch layouts, without the ignored arrays.

    Raises:
      ConversionError: `weights` has other paths than the table.
    """
    paths = {path for path, _ in table.values()}
    if differing := sorted(paths ^ weights.keys()):
        raise ConversionError("missing or unknown: " + ", ".join(differing))
    return {name: transform.to_torch(np.asarray(weights[path])) for name, (path, transform) in table.items()}
