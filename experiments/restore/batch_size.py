"""How many faces a batch may have: as many as fit into memory, by the compiler's analysis."""

from __future__ import annotations

from collections.abc import Callable

import jax

from experiments.restore import memory
from experiments.restore.batch_loop import Engine
from experiments.restore.face_run import Work

LARGEST = {"cpu": 16, "gpu": 256, "tpu": 256}
"""Places of a device beyond which nothing is gained."""
SHARE_OF_MEMORY = 0.9
"""What `auto` takes of the memory that is free."""
WORTH_A_LOOK = 1.1
"""A larger batch is compiled for its analysis only if it may be larger by this factor."""


def fitting_size(engine: Engine, work: Work, at_most: int, say: Callable[[str], None]) -> int:
    """The largest batch that fits into free memory, within a tenth; a multiple of the devices.

    Memory is nearly linear in the batch, which finds the size in two or three looks. Where it is not, the sizes between
    the largest that fits and the smallest that does not are halved until nothing worth a look is left.

    Args:
      engine: what all faces share.
      work: one of them.
      at_most: how many there are.
      say: is told what was chosen.
    """
    devices = len(engine.devices)
    limit = min(at_most, LARGEST[engine.devices[0].platform] * devices)
    free = SHARE_OF_MEMORY * _free_bytes(engine.devices[0])
    networks = sum(leaf.nbytes for leaf in jax.tree.leaves((engine.generator, engine.lpips)))
    largest = -(-limit // devices)
    fits, too_many = 0, largest + 1  # places of a device
    known = (0, networks)  # places and bytes of the look before
    places = min(8, largest)
    while fits < places < too_many:
        needed = engine.bytes_needed(work, places * devices)
        of_one = max(1.0, (needed - known[1]) / (places - known[0]))
        expected = min(places + int((free - needed) / of_one), largest)
        known = (places, needed)
        if needed <= free:
            fits = places
        else:
            too_many = places
        if needed <= free and expected < too_many:
            places = expected if expected >= fits * WORTH_A_LOOK else fits
        elif too_many > fits * WORTH_A_LOOK:
            places = (fits + too_many) // 2
    size = max(1, fits) * devices
    if at_most > 1:
        say(f"--batch-size auto: {size} faces at a time fit into memory.")
    return size


def _free_bytes(device: jax.Device) -> int:
    if statistics := device.memory_stats():
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    return memory.free_bytes()
