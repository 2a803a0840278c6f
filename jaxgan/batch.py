"""Many inversions at once: a batch of fixed size whose places are refilled as inversions end.

The program is compiled once, for `size` places. Each place has its own problem, key and step count, so images may come
and go at any time: no place waits for the slowest image, and a last, partial batch is padded. What an image becomes
depends neither on its neighbours, nor on its place, nor on when it came; only, by rounding, on the size of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PRNGKeyArray

from jaxgan import inversion
from jaxgan.generator import Generator
from jaxgan.inversion import InversionConfig, InversionState, LossTerms, Problem
from jaxgan.lpips import LPIPS

AXIS = "images"


class Batch:
    """Places for images to be inverted, spread evenly over devices.

    Attributes:
      size: number of places.
      chunk_steps: steps of one `advance`.
    """

    def __init__(
        self,
        generator: Generator,
        lpips: LPIPS,
        config: InversionConfig,
        size: int,
        *,
        chunk_steps: int = 25,
        devices: Sequence[jax.Device] | None = None,
    ):
        """Makes an empty batch; nothing is compiled before the first `advance` or `bytes_needed`.

        Args:
          generator, lpips: the networks, copied to every device.
          config: settings of all images.
          size: number of places, a multiple of the number of devices.
          chunk_steps: steps between two returns to Python.
          devices: default: the first one.
        Raises:
          ValueError: the devices do not share the places evenly.
        """
        devices = jax.devices()[:1] if devices is None else devices
        if size < 1 or size % len(devices):
            raise ValueError(f"size is {size}; expected a multiple of the {len(devices)} devices")
        mesh = Mesh(np.array(devices), (AXIS,))
        self.size = size
        self.chunk_steps = chunk_steps
        self._config = config
        self._spread = NamedSharding(mesh, PartitionSpec(AXIS))
        self._networks = jax.device_put((generator, lpips), NamedSharding(mesh, PartitionSpec()))
        self._places: tuple[Problem, Any, InversionState] | None = None
        self._advance = jax.jit(partial(_advance, config, chunk_steps, mesh))
        self._compiled: jax.stages.Compiled | None = None

    def put(self, place: int, problem: Problem, key: PRNGKeyArray, state: InversionState) -> None:
        """Begins (or continues) an inversion in a place; the first one fills all other places as padding."""
        one = jax.tree.map(jnp.asarray, (problem, jax.random.key_data(key), state))
        if self._places is None:
            whole = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (self.size, *leaf.shape)), one)
            self._places = jax.device_put(whole, self._spread)
        else:
            self._places = _put(self._places, place, one)

    def state(self, place: int) -> InversionState:
        """What the inversion in a place has reached, on the host."""
        return jax.tree.map(lambda leaf: np.asarray(leaf[place]), self._places[2])

    def advance(self) -> LossTerms:
        """Runs a chunk of steps in all places.

        Images that have done all their steps are frozen.

        Returns:
          The terms `[size, chunk_steps]`; those of frozen steps mean nothing.
        """
        self._compile()
        states, terms = jax.block_until_ready(self._compiled(self._networks, *self._places))
        self._places = (*self._places[:2], states)
        return jax.tree.map(np.asarray, terms)

    def bytes_needed(self) -> int:
        """Memory of one device that `advance` takes, by the compiler's analysis; an image must have been put."""
        self._compile()
        analysis = self._compiled.memory_analysis()
        return (
            analysis.argument_size_in_bytes
            + analysis.output_size_in_bytes
            + analysis.temp_size_in_bytes
            - analysis.alias_size_in_bytes
        )

    def _compile(self) -> None:
        if self._compiled is None:
            self._compiled = self._advance.lower(self._networks, *self._places).compile()


@jax.jit
def _put(places, place, one):
    return jax.tree.map(lambda whole, leaf: whole.at[place].set(leaf), places, one)


def _advance(config: InversionConfig, length: int, mesh: Mesh, networks, problems, keys, states):
    """A chunk of every place, each device for its own places: nothing is sent between devices."""

    def one(networks, problem, key_data, state):
        key = jax.random.wrap_key_data(key_data)

        def body(state: InversionState, _: None) -> tuple[InversionState, LossTerms]:
            draw = jax.random.normal(jax.random.fold_in(key, state.step), state.latents.w.shape)
            after, terms = inversion.step(*networks, problem, config, state, draw)
            is_frozen = state.step >= config.steps
            return jax.tree.map(lambda old, new: jnp.where(is_frozen, old, new), state, after), terms

        return jax.lax.scan(body, state, None, length)

    spread, everywhere = PartitionSpec(AXIS), PartitionSpec()
    run = jax.shard_map(
        jax.vmap(one, (None, 0, 0, 0)),
        mesh=mesh,
        in_specs=(everywhere, spread, spread, spread),
        out_specs=spread,
        check_vma=False,
    )
    return run(networks, problems, keys, states)
