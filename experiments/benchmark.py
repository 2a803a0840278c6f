"""Measure time, memory and arithmetic of optimisation steps, beside the same projector written plainly in PyTorch.

  python -m experiments.benchmark --network demo --batch-size 1 8
  python -m experiments.benchmark --network demo config-e-256 config-f-1024 --batch-size 1 2 4 8 16 32 \\
      --precision float32 tensorfloat32 bfloat16 float16 --device gpu --steps 20

Every combination runs in processes of its own: both programs in turn for the times, after their first losses were found
to agree, then each alone for its peak memory. The results are benchmark.json, benchmark.md and benchmark.png. The first
command takes some eight minutes on two CPU cores; the second is meant for an H100 or H200. PyTorch is needed, unless
--without-torch is given.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from experiments import cli
from experiments.bench.cell import Cell, Network
from experiments.options import default


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions:
    """Options of `experiments.benchmark`."""

    network: tuple[Network, ...] = ("demo",)
    """The embedded network (128x128), or random ones of configurations E (256x256) and F (1024x1024)."""
    batch_size: tuple[int, ...] = (1, 8)
    """Numbers of images that are inverted at once."""
    precision: tuple[Literal["float32", "tensorfloat32", "bfloat16", "float16"], ...] = ("float32",)
    """Number formats of the networks; CPUs only emulate 16 bits."""
    device: Annotated[tuple[Literal["cpu", "gpu"], ...], default("a GPU if JAX finds one")] = ()
    """The devices to run on."""
    steps: int = 25
    """Steps of one timing, which run as one chunk, like the 25 of `experiments.invert`."""
    repeats: int = 5
    """Timings of each program; their median counts."""
    without_torch: bool = False
    """Run JAX only, for a machine without PyTorch."""
    seed: int = 0
    """Seed of targets, noise maps and random weights."""
    output: Path = Path("outputs/benchmark")
    """Folder to write."""


def run(options: BenchmarkOptions) -> list[dict[str, Any]]:
    """Runs the benchmark, prints and writes its table; returns a row per cell."""
    from experiments.bench import report

    numbers = [("steps", options.steps), ("repeats", options.repeats)]
    numbers += [("batch-size", size) for size in options.batch_size]
    cli.Mistakes.check([f"--{name} is {value}; expected 1 or more." for name, value in numbers if value < 1])
    options.output.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    facts = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "versions": versions(), "seed": options.seed}
    facts["options"] = json.loads(json.dumps(dataclasses.asdict(options), default=str))
    for device, cell in cells(options):
        rows.append(measure(cell, device))
        print(report.table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
        report.write(options.output, {**facts, "cells": rows})  # after each: nothing is lost
    print(report.table(rows))
    return rows


def cells(options: BenchmarkOptions) -> list[tuple[str | None, Cell]]:
    """All combinations, with the device of each."""
    programs = ("jax",) if options.without_torch else ("jax", "torch")
    return [
        (device, Cell(network, size, precision, programs, options.steps, options.repeats, options.seed))
        for device in options.device or (None,)
        for network in options.network
        for precision in options.precision
        for size in options.batch_size
    ]


def measure(cell: Cell, device: str | None) -> dict[str, Any]:
    """Times both programs in turn and takes the memory of each; a program that alone runs out of memory says so.

    Where the two do not fit into memory together, each is timed alone: `in_turn` is false then.
    """
    row = {k: v for k, v in dataclasses.asdict(cell).items() if k not in ("programs", "steps", "repeats", "seed")}
    with tempfile.TemporaryDirectory() as cache:  # each program is compiled, and timed compiling, once
        together = in_own_process(cell, device, cache)
        alone = {}
        for program in cell.programs:
            fits = "error" not in together
            few = {"steps": cell.steps, "repeats": 1} if fits else {}
            one = dataclasses.replace(cell, programs=(program,), **few)
            alone[program] = together if len(cell.programs) == 1 else in_own_process(one, device, cache)
    if "error" in together:
        for program, result in alone.items():
            row |= {f"{program}_error": result["error"]} if "error" in result else result
        row["in_turn"] = False
        return row
    row |= together | {"in_turn": len(cell.programs) > 1}
    for program, result in alone.items():
        row[f"{program}_peak_bytes"] = result.get(f"{program}_peak_bytes")
    return row


def in_own_process(cell: Cell, device: str | None, cache: str) -> dict[str, Any]:
    """Runs a cell elsewhere.

    Raises:
      RuntimeError: it failed for another reason than memory.
    """
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # leaves PyTorch its share of the GPU
    }
    if device is not None:
        environment["JAX_PLATFORMS"] = {"cpu": "cpu", "gpu": "cuda"}[device]
    command = [sys.executable, "-m", "experiments.bench.cell", json.dumps(dataclasses.asdict(cell))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode == -9:  # Linux kills what takes too much memory
        return {"error": "out of memory"}
    if done.returncode:
        raise RuntimeError(f"{cell} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def versions() -> dict[str, str]:
    """Versions of what is timed."""
    import platform
    from importlib import metadata

    found = {"python": platform.python_version()}
    for name in ("jax", "jaxlib", "flax", "torch"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(BenchmarkOptions, run, argv, prog="python -m experiments.benchmark", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
