"""Infers the numbers of a configuration from the shapes and filters of a file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import ml_dtypes
import numpy as np

from convert.rules import ConversionError
from jaxgan.pickles import brief


def plain(name: str, value: Any) -> str | int | float | None:
    """Returns an attribute as a plain value of Python; a container is refused, since its comparison might never end.

    Raises:
      ConversionError: the attribute is no plain value.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if value is not None and not isinstance(value, (str, int, float)):
        raise ConversionError(f"{name} is {brief(value)}; expected a number, a word or None.")
    return value


def number(name: str, value: Any) -> float:
    """Returns an attribute that must be a positive number.

    Raises:
      ConversionError: the attribute is no positive number.
    """
    value = plain(name, value)
    if isinstance(value, (bool, str)) or value is None or not 0 < value < 1e9:
        raise ConversionError(f"{name} is {brief(value)}; expected a positive number.")
    return float(value)


def infer_channels(channels: Mapping[int, int]) -> tuple[int, int]:
    """Finds `channel_base` and `channel_max` such that a block of resolution r has min(base // r, max) channels.

    Args:
      channels: the channels of each block, {resolution: channels}.
    Raises:
      ConversionError: no such pair exists.
    """
    channel_max = max(channels.values())
    channel_base = max(resolution * count for resolution, count in channels.items())
    if any(min(channel_base // resolution, channel_max) != count for resolution, count in channels.items()):
        raise ConversionError(
            f"channels per resolution are {dict(sorted(channels.items()))}; expected min(base // r, max)."
        )
    return channel_base, channel_max


def infer_taps(filters: Mapping[str, np.ndarray]) -> tuple[float, ...]:
    """Finds the 1-D taps of the filters of all layers, such as (1, 3, 3, 1) of outer([1,3,3,1], [1,3,3,1]) / 64.

    Raises:
      ConversionError: there is no filter, the filters of layers differ, or a filter is no outer product of equal taps.
    """
    if not filters:
        raise ConversionError("the network has no resample_filter.")
    name, first = next(iter(filters.items()))
    precision = 1e-6 if first.dtype.itemsize > 2 else 1e-2  # half precision is rounded far more coarsely
    first = first.astype(np.float32) if first.dtype == ml_dtypes.bfloat16 else first
    if differing := [other for other, array in filters.items() if not np.array_equal(array, first)]:
        raise ConversionError(f"resample_filter differs between {name} and {', '.join(differing)}.")
    if first.dtype.kind != "f" or first.size == 0 or not np.isfinite(first).all():
        raise ConversionError(f"{name} of shape {first.shape} and dtype {first.dtype} is no filter of finite numbers.")
    taps = first if first.ndim == 1 else first.sum(-1, dtype=np.float64)  # long filters are stored as 1-D taps
    if first.ndim not in (1, 2) or (
        first.ndim == 2 and not np.allclose(first, np.outer(taps, taps), rtol=precision, atol=precision / 10)
    ):
        raise ConversionError(f"{name} of shape {first.shape} is not separable into equal taps.")
    whole = np.round(taps / taps[0]) if taps[0] else taps
    if np.allclose(whole / whole.sum(), taps, rtol=precision, atol=0):
        taps = whole
    return tuple(float(tap) for tap in taps)


DEFAULT_TAPS = (1.0, 3.0, 3.0, 1.0)
NO_FILTER = "the file has no filter kernels: their taps are taken to be (1, 3, 3, 1), as in the papers"


def taps_or_default(filters: Mapping[str, np.ndarray]) -> tuple[tuple[float, ...], list[str]]:
    """Infers the taps, or takes StyleGAN2's own and a note about it where a file leaves the filters out."""
    return (infer_taps(filters), []) if filters else (DEFAULT_TAPS, [NO_FILTER])


def infer_mapping(sizes: Sequence[int]) -> tuple[int, int | None]:
    """Infers `w_dim` and `mapping_features` of a mapping network.

    Args:
      sizes: the number of outputs of each layer, in order.
    Raises:
      ConversionError: there is no layer, or the widths between the layers differ.
    """
    inner = set(sizes[:-1])
    if not sizes or len(inner) > 1:
        raise ConversionError(
            f"the mapping layers have {list(sizes)[:64]} outputs; expected the same but for the last."
        )
    return sizes[-1], None if inner <= {sizes[-1]} else inner.pop()


def check_square(const: np.ndarray | None, resolution: int) -> None:
    """Refuses networks that do not start from 4x4 features.

    Args:
      const: the learned constant, height and width last; the table refuses None and other ranks later.
      resolution: the resolution that a square network with so many blocks has.
    Raises:
      ConversionError: the images have another shape.
    """
    if const is None or const.ndim not in (3, 4) or const.shape[-2:] == (4, 4):
        return
    height, width = (side * resolution // 4 for side in const.shape[-2:])
    square = "only square ones are supported" if height != width else "only powers of two from 4x4 are supported"
    raise ConversionError(f"the network makes {brief(height)}x{brief(width)} images; {square}.")


def architecture_of(*, has_skip: bool, early_torgb: bool, resolution: int) -> Literal["skip", "resnet", "orig"]:
    """Tells the architecture by the layers that there are: a skip convolution, or an image output of the 4x4 block."""
    if has_skip:
        return "resnet"
    return "skip" if early_torgb or resolution == 4 else "orig"


def vector_size(arrays: Mapping[str, np.ndarray], name: str) -> int:
    """Returns the length of a vector that the network must have.

    Raises:
      ConversionError: the vector is missing, or is no vector.
    """
    if name not in arrays or arrays[name].ndim != 1:
        raise ConversionError(f"{name} is missing or no vector.")
    return arrays[name].size


def count_layers(arrays: Mapping[str, np.ndarray], name: Callable[[int], str]) -> int:
    """Counts the layers, whose arrays have the names `name(0)`, `name(1)`, ..."""
    return next(index for index in itertools.count() if name(index) not in arrays)
