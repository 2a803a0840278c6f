"""Runs many optimisations at once, in a batch of fixed size whose places are refilled as they end.

The program is compiled once, for `size` places. Each place has its own problem, key and step count, so images may come
and go at any time: no place waits for the slowest image, and a last, partial batch is padded. The result of an image
depends neither on its neighbours, nor on its place, nor on the moment when it came. It depends on the size of the
batch, but only by rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, ArrayLike, Float, Int, Key, PRNGKeyArray

from jaxgan import optimization
from jaxgan.generator import Generator
from jaxgan.latents import Latents
from jaxgan.lpips import LPIPS

AXIS = "images"


@runtime_checkable
class Program(Protocol):
    """Runs steps of several images at once: `optimization.run_chunks` or `tuning_steps.run_chunks`."""

    def __call__(
        self,
        generator: Generator,
        lpips: LPIPS,
        problems: Any,
        keys: Key[Array, " n"],
        states: Any,
        chunk_steps: Int[ArrayLike, ""],
        *,
        platform: str | None = None,
    ) -> tuple[Any, Any]:
        """Runs at most `chunk_steps` steps.

        Args:
          generator, lpips: the networks.
          problems, keys, states: belong to the images, along a leading axis. An image whose state has ended stays as
            it is.
          chunk_steps: the number of steps.
          platform: the platform that the program is made for; None stands for JAX's default.
        Returns:
          The states after the steps, and their losses, each `[n, optimization.LONGEST_CHUNK]`, which are zero where
          there was no step.
        """


class Batch:
    """Holds a fixed number of optimisations in places, which are spread evenly over devices.

    Attributes:
      size: the number of places.
    """

    def __init__(
        self,
        generator: Generator,
        lpips: LPIPS,
        size: int,
        *,
        program: Program = optimization.run_chunks,
        devices: Sequence[jax.Device] | None = None,
    ):
        """Makes an empty batch; nothing is compiled before the first `advance` or `bytes_needed`.

        Args:
          generator, lpips: the networks, which are copied to every device.
          size: the number of places, a multiple of the number of devices.
          program: the steps; default: those of inversions.
          devices: the devices that share the batch; None stands for the first one.
        Raises:
          ValueError: the devices do not share the places evenly.
        """
        devices = jax.devices()[:1] if devices is None else devices
        if size < 1 or size % len(devices):
            raise ValueError(f"size is {size}; expected a multiple of the {len(devices)} devices")
        mesh = Mesh(np.array(devices), (AXIS,))
        self.size = size
        self._spread = NamedSharding(mesh, PartitionSpec(AXIS))
        self._networks = jax.device_put((generator, lpips), NamedSharding(mesh, PartitionSpec()))
        self._places: tuple[Any, Any, Any] | None = None
        self._mesh = mesh
        self._program = program
        self._compiled: jax.stages.Compiled | None = None

    def put(self, place: int, problem: Any, key: PRNGKeyArray, state: Any) -> None:
        """Begins or continues an image in a place; the first image also fills all other places as padding.

        Args:
          place: a number from 0 to `size - 1`.
          problem, key: belong to the image.
          state: the state so far: for a new image that of `initial_state`.
        """
        one = _arrays(problem, key, state)
        if self._places is None:
            whole = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[None], (self.size, *leaf.shape)), one)
            self._places = jax.device_put(whole, self._spread)
        else:
            self._places = _put(self._places, place, one)

    @property
    def states(self) -> Any:
        """The states that the images have reached; each array has a leading axis for the places.

        Raises:
          ValueError: nothing was put into the batch yet.
        """
        return self._filled()[2]

    def state(self, place: int) -> Any:
        """Copies the state that the image in a place has reached to the host."""
        return jax.tree.map(lambda leaf: np.asarray(leaf[place]), self.states)

    def clear(self) -> None:
        """Empties all places and frees their memory."""
        self._places = None

    def advance(self, chunk_steps: int) -> Any:
        """Runs a chunk of steps in all places; images that have done all their steps stay as they are.

        Args:
          chunk_steps: the number of steps, from 1 to `jaxgan.optimization.LONGEST_CHUNK`.
        Returns:
          The losses, each `[size, chunk_steps]`; they are zero where an image had no step left.
        Raises:
          ValueError: `chunk_steps` is out of range, or nothing was put into the batch yet.
        """
        optimization.check_chunk_steps(chunk_steps)
        problems, keys, states = self._filled()
        compiled = self._compile((problems, keys, states))
        everywhere = (*self._networks, np.int32(chunk_steps))
        states, terms = jax.block_until_ready(compiled(everywhere, problems, keys, states))
        self._places = problems, keys, states
        return jax.tree.map(lambda term: np.asarray(term[:, :chunk_steps]), terms)

    def render(self) -> Float[np.ndarray, "size h w 3"]:
        """Renders the inversions in all places as they are now, and copies the images to the host."""
        return np.asarray(_render(self._networks[0], self.states.latents, mesh=self._mesh))

    def bytes_needed(self, problem: Any, key: PRNGKeyArray, state: Any) -> int:
        """Asks the compiler how many bytes of one device `advance` will take for images like this one."""

        def place(leaf: Array) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((self.size, *leaf.shape), leaf.dtype, sharding=self._spread)

        analysis: Any = self._compile(jax.tree.map(place, _arrays(problem, key, state))).memory_analysis()
        return (
            analysis.argument_size_in_bytes
            + analysis.output_size_in_bytes
            + analysis.temp_size_in_bytes
            - analysis.alias_size_in_bytes
        )

    def _filled(self) -> tuple[Any, Any, Any]:
        if self._places is None:
            raise ValueError("the batch is empty; put an image into one of its places first.")
        return self._places

    def _compile(self, places: Any) -> jax.stages.Compiled:
        """Compiles the program, or takes the one that an earlier batch of the same kind has compiled."""
        if self._compiled is None:
            everywhere = (*self._networks, np.int32(0))
            leaves, structure = jax.tree.flatten((everywhere, *places))
            kind = (self._program, self._mesh, structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
            if kind not in PROGRAMS:
                while len(PROGRAMS) >= MOST_PROGRAMS:
                    del PROGRAMS[next(iter(PROGRAMS))]
                PROGRAMS[kind] = _advance.lower(everywhere, *places, program=self._program, mesh=self._mesh).compile()
            self._compiled = PROGRAMS[kind]
        return self._compiled


MOST_PROGRAMS = 8  # a program maps memory many times on CPUs, and Linux limits the maps of a process
PROGRAMS: dict[Any, jax.stages.Compiled] = {}
"""The compiled program of each kind of batch. The dictionary may be cleared to free memory."""


def _arrays(problem: Any, key: PRNGKeyArray, state: Any) -> Any:
    return jax.tree.map(jnp.asarray, (problem, jax.random.key_data(key), state))


@jax.jit
def _put(places, place, one):
    return jax.tree.map(lambda whole, leaf: whole.at[place].set(leaf), places, one)


@partial(jax.jit, static_argnames=("program", "mesh"))
def _advance(everywhere, problems, keys, states, *, program: Program, mesh: Mesh):
    """Runs a chunk in every place. Each device works on its own places, and nothing is sent between devices."""
    platform = mesh.devices.flat[0].platform

    def run(everywhere, problems, key_data, states):
        *networks, chunk_steps = everywhere
        keys = jax.random.wrap_key_data(key_data)
        return program(*networks, problems, keys, states, chunk_steps, platform=platform)

    return _on_each_device(mesh, run)(everywhere, problems, keys, states)


@partial(jax.jit, static_argnames="mesh")
def _render(generator: Generator, latents: Latents, *, mesh: Mesh):
    return _on_each_device(mesh, jax.vmap(optimization.render, (None, 0)))(generator, latents)


def _on_each_device(mesh: Mesh, function: Callable) -> Callable:
    """Gives each device its own places; the function's first argument is the same for all of them."""

    def run(everywhere, *places):
        spread = PartitionSpec(AXIS)
        specs = (PartitionSpec(), *(spread for _ in places))
        shared = jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=spread, check_vma=False)
        return shared(everywhere, *places)

    return run
