"""Describes a generator as it was found in a file, and turns it into weights, whatever the format of the file."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping

import jax
import numpy as np
from flax import nnx

from convert import missing_parts, rules, widening
from jaxgan.checkpoints import network_shapes
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig
from jaxgan.pickles import brief

MAX_SIZE, MAX_LAYERS = 2**14, 64
"""Sizes far above those of any StyleGAN2, which has 1024x1024 pixels, 512 channels and latents, 8 mapping layers."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A generator in the file's own names and layouts.

    Attributes:
      format: the name of the format, which config.json keeps.
      config: the configuration that the arrays and attributes tell.
      arrays: {the file's name: array}, without the file's other networks.
      table: {the file's name: (our path, transform)} for the arrays.
      ignored: {the file's name: reason} for arrays that have no place in our network.
      notes: facts about the conversion that a user should know.
      made: our paths of the parts that the file lacks and that are made here (see `missing_parts`).
    """

    format: str
    config: GeneratorConfig
    arrays: Mapping[str, np.ndarray]
    table: rules.Table
    ignored: Mapping[str, str]
    notes: tuple[str, ...] = ()
    made: tuple[str, ...] = ()

    def weights(self) -> dict[str, np.ndarray]:
        """Converts the arrays to {"synthesis/b4/const": array, ...}, as `jaxgan.checkpoints.save_generator` takes them.

        Raises:
          ConversionError: lists every array that is missing, unknown, misshapen, of another dtype or not finite.
        """
        expected = {path: leaf for path, leaf in expected_shapes(self.config).items() if path not in self.made}
        weights = rules.to_ours(self.table, self.arrays, expected, ignored=self.ignored)
        return weights | missing_parts.make(self.config, weights, self.made)


def assemble(
    name: str,
    config: GeneratorConfig,
    arrays: Mapping[str, np.ndarray],
    table: rules.Table,
    ignored: Mapping[str, str],
    notes: Iterable[str] = (),
) -> Found:
    """Puts a generator together from the parts that its reader found, widened to float32.

    Args:
      name: the name of the format.
      config, arrays, table, ignored, notes: see `Found`.
    Raises:
      ConversionError: a size is far beyond those of StyleGAN2, or the arrays share their numbers.
    """
    check_sizes(config)
    arrays, widened = widening.to_float32(arrays, table)
    table, made, missing = missing_parts.set_aside(table, arrays)
    return Found(name, config, arrays, table, ignored, (*notes, *widened, *missing), made)


def check_sizes(config: GeneratorConfig) -> None:
    """Refuses a network of absurd size before anything is computed for it.

    Raises:
      ConversionError: a size is far beyond those of StyleGAN2.
    """
    sizes = (config.z_dim, config.c_dim, config.w_dim, config.channel_max, config.image_channels, config.resolution)
    largest = max(*sizes, config.mapping_features or 0, config.embed_features or 0)
    if largest > MAX_SIZE or config.mapping_layers > MAX_LAYERS:
        raise rules.ConversionError(
            f"the network claims sizes of {brief(largest)} and {brief(config.mapping_layers)} mapping layers; "
            f"those of StyleGAN2 stay under {MAX_SIZE} and {MAX_LAYERS}."
        )


def expected_shapes(config: GeneratorConfig) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shape and dtype of every leaf of the network of a configuration."""
    return dict(_shapes(dataclasses.replace(config, source="", source_sha256="")))


@functools.lru_cache(maxsize=8)
def _shapes(config: GeneratorConfig) -> dict[str, jax.ShapeDtypeStruct]:
    return network_shapes(nnx.eval_shape(lambda: Generator(config, rngs=nnx.Rngs(0))))
