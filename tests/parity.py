"""How closeness is measured in every comparison with reference values."""

from functools import partial
from pathlib import Path

import jax
import numpy as np

REFERENCE = Path(__file__).parent / "reference"
"""Golden inputs and outputs of the official networks (reference/README.md)."""


def relative_error(actual, expected) -> float:
    """L2 norm of the difference over that of the expected array, in float64."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def nhwc(x: np.ndarray) -> np.ndarray:
    """From the channel order of the reference arrays to ours."""
    return np.moveaxis(x, -3, -1)


CASES = Path(__file__).parent / "cases"
"""Checkpoints of the kinds that people have, random weights (cases/README.md)."""


@partial(jax.jit, static_argnames="method")
def call(network, *arguments, method: str = "__call__"):
    """A network as a compiled function, which all tests share."""
    return getattr(network, method)(*arguments)
