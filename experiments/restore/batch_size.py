"""How many faces a batch may have: as many as fit into memory, by the compiler's analysis."""

from __future__ import annotations

import jax

from experiments.restore import memory
from experiments.restore.batch_loop import Engine
from experiments.restore.face_run import Work

LARGEST = {"cpu": 16, "gpu": 256, "tpu": 256}
"""Places of a device beyond which nothing is gained."""
SHARE_OF_MEMORY = 0.9
"""What `auto` takes of the memory that is free."""


def fitting_size(engine: Engine, work: Work, at_most: int) -> int:
    """The largest batch that fits into free memory by the compiler's analysis; a multiple of the devices.

    Args:
      engine: what all faces share.
      work: one of them.
      at_most: how many there are.
    """
    devices = len(engine.devices)
    limit = min(at_most, LARGEST[engine.devices[0].platform] * devices)
    free = SHARE_OF_MEMORY * _free_bytes(engine.devices[0])
    networks = sum(leaf.nbytes for leaf in jax.tree.leaves((engine.generator, engine.lpips)))
    per_device = -(-min(limit, 8 * devices) // devices)
    largest = -(-limit // devices)
    while True:
        needed = engine.bytes_needed(work, per_device * devices)
        if needed <= free and per_device == largest:
            return per_device * devices
        of_one = max(1, needed - networks) / per_device
        fitting = max(1, min(int((free - networks) / of_one), largest))
        if (needed <= free and fitting <= per_device) or per_device == 1:
            return per_device * devices
        if needed <= free:
            largest = fitting
        per_device = fitting if fitting < per_device or needed <= free else per_device - 1


def _free_bytes(device: jax.Device) -> int:
    if statistics := device.memory_stats():
        return statistics["bytes_limit"] - statistics["bytes_in_use"]
    return memory.free_bytes()
