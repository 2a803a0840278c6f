"""Restores photographs on a Ray cluster: independent tasks, begun again elsewhere when a worker or machine is lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from experiments import programs
from experiments.restore.jobs import Source
from experiments.restore.photograph import Photograph
from experiments.restore.pipeline import Restoration
from experiments.runs.manifest import Manifest
from jaxgan.errors import UserError
from jaxgan.generator import Generator
from jaxgan.lpips import LPIPS

if TYPE_CHECKING:
    from types import ModuleType

BATCHES_PER_TASK = 4
"""Batches of photographs in a task: enough that compiling pays, few enough that a lost worker loses little."""
LARGEST_TASK = 64
"""Photographs of a task where the size of a batch is not known before."""


class Events:
    """Collects what a task has to tell until it ends; stands for the manifest in a worker."""

    def __init__(self, sizes: dict[str, int]):
        self.sizes = dict(sizes)
        self.items: list[tuple[str, str, dict[str, Any]]] = []
        self.new_sizes: dict[str, int] = {}

    def write(self, item: str, state: str, **facts: Any) -> None:
        """Keeps an event."""
        self.items.append((item, state, facts))

    def write_size(self, group: str, size: int) -> None:
        """Keeps a size."""
        self.sizes[group] = self.new_sizes[group] = size


def restore(
    address: str,
    generator: Generator,
    lpips: LPIPS,
    photographs: Sequence[Photograph],
    *,
    batch_size: int | str,
    record: Manifest,
) -> None:
    """Restores photographs in tasks of some batches each.

    All machines must see the same files under the same paths. A task takes one GPU, or one CPU core where there is no
    GPU. A task whose worker or machine is lost begins again: its finished faces are skipped, the others continue from
    their checkpoints.

    Args:
      address: "local" for a cluster of this machine alone, or what `ray.init` takes.
      generator, lpips: the networks; stored once, shared by all workers of a machine.
      photographs: what is left to do; `error` is set of those that fail.
      batch_size: of every task, or "auto".
      record: the manifest, written by this process only.
    Raises:
      UserError: Ray is not installed or not to be reached, or a folder cannot be written.
    """
    import tqdm

    if not photographs:
        return
    ray = _ray()
    try:
        ray.init(None if address == "local" else address, include_dashboard=False, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"--cluster {address}: {error}") from error
    try:
        uses_gpus = ray.cluster_resources().get("GPU", 0) >= 1
        task = ray.remote(max_retries=-1, **({"num_gpus": 1} if uses_gpus else {"num_cpus": 1}))(_restore_part)
        networks = ray.put(jax.tree.map(np.asarray, (generator, lpips)))
        per_task = LARGEST_TASK if batch_size == "auto" else BATCHES_PER_TASK * int(batch_size)
        parts = [photographs[first : first + per_task] for first in range(0, len(photographs), per_task)]
        by_name = {photograph.name: photograph for photograph in photographs}
        running = {
            task.remote(networks, [_description(photo) for photo in part], batch_size, os.getcwd(), record.sizes): part
            for part in parts
        }
        with tqdm.tqdm(total=len(photographs), unit="photograph", file=sys.stderr) as bar:
            while running:
                (done,), _ = ray.wait(list(running), num_returns=1)
                part = running.pop(done)
                events = ray.get(done)
                for group, size in events.new_sizes.items():
                    record.write_size(group, size)
                for item, state, facts in events.items:
                    record.write(item, state, **facts)
                    if state == "failed":
                        by_name[item].error = facts["error"]
                        tqdm.tqdm.write(f"{facts['image']} failed: {facts['error']}", file=sys.stderr)
                bar.update(len(part))
    finally:
        ray.shutdown()


def _restore_part(
    networks: tuple[Generator, LPIPS],
    part: list[tuple[Source, Path]],
    batch_size: int | str,
    directory: str,
    sizes: dict[str, int],
) -> Events:
    """A task: restores some photographs on one device, from wherever an earlier attempt was lost."""
    import absl.logging

    absl.logging.set_verbosity(absl.logging.FATAL)
    programs.keep()
    os.chdir(directory)
    generator, lpips = jax.device_put(networks)
    events = Events(sizes)
    restoration = Restoration(
        generator,
        lpips,
        [Photograph(source, folder) for source, folder in part],
        batch_size=batch_size,
        devices=jax.local_devices()[:1],
        record=events,
        quiet=True,
    )
    restoration.run(resume=True, overwrite=False)
    return events


def _description(photograph: Photograph) -> tuple[Source, Path]:
    return Source(photograph.path, photograph.config), photograph.folder


def _ray() -> ModuleType:
    try:
        import ray
    except ImportError:
        raise UserError("--cluster needs Ray: pip install 'jaxgan[cluster]'") from None
    return ray
