"""How near inversions come whose products are rounded, relative to float32: with the embedded network, on any device.

  python -m experiments.bench.accuracy float16 bfloat16

Prints a line of JSON. The method's own randomness moves single faces by more than rounding does, so that several keys
and faces are needed.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgan
from jaxgan import images, inversion, start
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.lpips import LPIPS

FACES, KEYS = 8, 4
"""32 inversions tell 1 % from none."""


def final_distances(
    generator: Generator, lpips: LPIPS, precision: str, *, faces: int = FACES, keys: int = KEYS
) -> np.ndarray:
    """Inverts samples of a network in a precision, and measures the results in float32.

    Args:
      generator, lpips: the networks.
      precision: see `InversionConfig`.
      faces, keys: the numbers of samples, and of keys that each is inverted with.
    Returns:
      LPIPS to the sample, `[keys, faces]`.
    """
    targets = jnp.asarray(images.to_float(np.asarray(start.draw_samples(generator, samples=faces, seed=2).images)))
    config = dataclasses.replace(InversionConfig.for_task("invert"), precision=precision)
    distance = jax.jit(jax.vmap(lpips))
    distances = []
    for seed in range(keys):
        of_faces = jax.random.split(jax.random.key(seed), faces)
        results = inversion.invert_batch(generator, lpips, targets, jaxgan.Identity(), config, of_faces)
        found = jnp.stack([result.image for result in results])
        distances.append(np.asarray(distance(found, targets)))
    return np.array(distances)


def relative(ours: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Compares distances of the same faces and keys: the logarithm of their mean ratio, and its standard error."""
    ratios = np.log(ours / expected)
    return float(ratios.mean()), float(ratios.std(ddof=1) / ratios.size**0.5)


def measure(precisions: Sequence[str]) -> dict[str, Any]:
    """Inverts in float32 and in other precisions.

    Returns:
      `device` and, for each precision, `distances` (LPIPS by key, the mean of all faces); for all but float32 the
      `ratio` to it and the `standard_error` of its logarithm, or the `error` that ended its inversions.
    Raises:
      ValueError: there is no such precision.
    """
    for precision in precisions:
        InversionConfig(precision=precision)
    generator, lpips = jaxgan.load_generator("demo"), jaxgan.load_lpips()
    expected = final_distances(generator, lpips, "float32")
    rows: dict[str, Any] = {"device": jax.devices()[0].device_kind, "float32": {"distances": _means(expected)}}
    for precision in precisions:
        try:
            ours = final_distances(generator, lpips, precision)
        except FloatingPointError as error:
            rows[precision] = {"error": str(error)}
            continue
        logarithm, error = relative(ours, expected)
        rows[precision] = {"distances": _means(ours), "ratio": float(np.exp(logarithm)), "standard_error": error}
    return rows


def _means(distances: np.ndarray) -> list[float]:
    return [round(float(mean), 5) for mean in distances.mean(axis=1)]


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1:])))
