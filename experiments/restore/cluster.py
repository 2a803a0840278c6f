"""Restores photographs on a Ray cluster: independent tasks, begun again elsewhere when a worker or machine is lost."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jax
import numpy as np

from experiments import interrupts, programs
from experiments.restore.jobs import Job
from experiments.restore.pipeline import Engine, restore_many
from experiments.runs.manifest import Manifest
from jaxgan.errors import UserError
from jaxgan.generator import Generator
from jaxgan.lpips import LPIPS

BATCHES_PER_TASK = 4
"""Batches of photographs in a task: enough that compiling pays, few enough that a lost worker loses little."""
LARGEST_TASK = 64
"""Photographs of a task where the size of a batch is not known before."""
TRIES = 3
"""Tasks in which a photograph may be lost with its worker before it counts as failed."""
SECONDS_TO_SAVE = 60
"""Time that workers get to save their faces when the command is interrupted."""


class Events:
    """Collects everything that a task has to tell until it ends; stands for the manifest in a worker."""

    def __init__(self, sizes: dict[str, int]):
        self.sizes = dict(sizes)
        self.items: list[tuple[str, str, dict[str, Any]]] = []
        self.new_sizes: dict[str, int] = {}
        self.failures: dict[str, str] = {}

    def write(self, item: str, state: str, **facts: Any) -> None:
        """Keeps an event."""
        self.items.append((item, state, facts))

    def write_size(self, group: str, size: int) -> None:
        """Keeps a size."""
        self.sizes[group] = self.new_sizes[group] = size


def restore(address: str, engine: Engine, jobs: Sequence[Job], record: Manifest) -> dict[str, str]:
    """Restores photographs in tasks of some batches each.

    All machines must see the same files under the same paths. A task takes one GPU, or one CPU core where there is no
    GPU. A task whose worker or machine is lost begins again, each photograph in a task of its own: finished faces are
    skipped, the others continue from their checkpoints. A photograph that is lost in `TRIES` tasks has failed.

    Args:
      address: "local" for a cluster of this machine alone, or an address that `ray.init` takes.
      engine: its networks are stored once, shared by all workers of a machine; its batch size is that of every task.
      jobs: the photographs that are left to do.
      record: the manifest, written by this process only.
    Returns:
      Why photographs failed, by their names.
    Raises:
      UserError: Ray is not installed or not to be reached, or a folder cannot be written.
    """
    if not jobs:
        return {}
    ray = _ray()
    try:
        ray.init(None if address == "local" else address, include_dashboard=False, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"--cluster {address}: {error}") from error
    with interrupts.handled():  # Ray has put handlers of its own in place of those of the command
        return _restore(ray, engine, jobs, record)


def _restore(ray: ModuleType, engine: Engine, jobs: Sequence[Job], record: Manifest) -> dict[str, str]:
    """Hands out the photographs and shuts Ray down in the end."""
    import tqdm

    failures: dict[str, str] = {}
    lost: Counter[str] = Counter()
    running: dict[Any, list[Job]] = {}
    try:
        uses_gpus = ray.cluster_resources().get("GPU", 0) >= 1
        task = ray.remote(max_retries=0, **({"num_gpus": 1} if uses_gpus else {"num_cpus": 1}))(_restore_part)
        networks = ray.put(jax.tree.map(np.asarray, (engine.generator, engine.lpips)))
        batch_size = engine.batch_size
        per_task = LARGEST_TASK if batch_size == "auto" else BATCHES_PER_TASK * int(batch_size)
        waiting = [list(jobs[first : first + per_task]) for first in range(0, len(jobs), per_task)]
        with tqdm.tqdm(total=len(jobs), unit="photograph", file=sys.stderr) as bar:
            while waiting or running:
                for part in waiting:
                    running[task.remote(networks, part, batch_size, engine.label, os.getcwd(), record.sizes)] = part
                waiting = []
                (done,), _ = ray.wait(list(running), num_returns=1)
                part = running.pop(done)
                try:
                    events = ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None  # as where there is no cluster
                except ray.exceptions.RayError as error:
                    lost.update(job.name for job in part)
                    waiting = [[job] for job in part if lost[job.name] < TRIES]
                    failed = _put_losses_on_record(record, [job for job in part if lost[job.name] >= TRIES], error)
                    bar.update(len(failed))
                else:
                    _put_on_record(record, events)
                    failed = events.failures
                    bar.update(len(part))
                for name, reason in failed.items():
                    bar.write(f"{name} failed: {reason}", file=sys.stderr)
                failures |= failed
    except KeyboardInterrupt:
        for reference in running:
            ray.cancel(reference)  # as Ctrl-C in the worker: it saves its faces
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=SECONDS_TO_SAVE)
        raise
    finally:
        ray.shutdown()
    return failures


def _put_on_record(record: Manifest, events: Events) -> None:
    for group, size in events.new_sizes.items():
        record.write_size(group, size)
    for item, state, facts in events.items:
        record.write(item, state, **facts)


def _put_losses_on_record(record: Manifest, jobs: Sequence[Job], error: Exception) -> dict[str, str]:
    """Why photographs failed that were lost with their workers, by their names; Ray's own message is a page."""
    reason = f"its worker was lost {TRIES} times, for want of memory perhaps ({type(error).__name__})"
    for job in jobs:
        record.write(job.name, "failed", image=str(job.path), error=reason)
    return {job.name: reason for job in jobs}


def _restore_part(
    networks: tuple[Generator, LPIPS],
    jobs: list[Job],
    batch_size: int | str,
    label: int | None,
    directory: str,
    sizes: dict[str, int],
) -> Events:
    """A task: restores some photographs on one device, from wherever an earlier attempt was lost."""
    import absl.logging

    absl.logging.set_verbosity(absl.logging.FATAL)
    programs.keep()
    os.chdir(directory)
    generator, lpips = jax.device_put(networks)
    engine = Engine(generator, lpips, tuple(jax.local_devices()[:1]), batch_size, label)
    events = Events(sizes)
    events.failures = restore_many(engine, jobs, events, quiet=True)
    return events


def _ray() -> ModuleType:
    try:
        import ray
    except ImportError:
        raise UserError("--cluster needs Ray: pip install 'jaxgan[cluster]'") from None
    return ray
