"""The measurements that a GPU is borrowed for, the most important ones first, within a given time.

  PYTHONPATH=. python -m experiments.bench.gpu OUTPUT --seconds 360

Steps at 1024x1024 pixels (configuration F, random weights) and inversions with the embedded network, each measurement
in a process of its own. OUTPUT/results.json is written after each; OUTPUT/hlo holds the optimised program, OUTPUT/trace
a profile of float16 at batch 16. A measurement that would not end in time is not begun, and is listed as such.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.bench.cell import Cell
from jaxgan import files


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A cell, and the flags of the compiler that it runs under.

    Attributes:
      precision, batch_size: see `Cell`.
      flags: added to XLA_FLAGS.
      has_warm_cache: compiled programs are kept for it and were kept before, so its compile time is that of a hit.
      is_traced: it writes the program and a profile.
      longest: seconds that it takes at most, as far as is known: 50 to compile, the rest to start and to run.
    """

    precision: str
    batch_size: int
    flags: str = ""
    has_warm_cache: bool = False
    is_traced: bool = False
    longest: float = 75.0


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Inversions of the embedded network, which show what rounding costs; see `experiments.bench.accuracy`.

    Attributes:
      precisions: that are compared with float32.
      longest: seconds that it takes at most, not measured yet: four programs to compile, 16 batches to run.
    """

    precisions: tuple[str, ...]
    longest: float = 150.0


MEASUREMENTS = (
    Measurement("float16", 16, is_traced=True),
    Measurement("float16", 1),
    Measurement("tensorfloat32", 16),
    Accuracy(("float16", "tensorfloat32", "bfloat16")),
    Measurement("float16", 16, flags="--xla_allow_excess_precision=false"),
    Measurement("float16", 16, has_warm_cache=True),  # twice the same command: are the losses the same bits?
    Measurement("float16", 16, flags="--xla_gpu_deterministic_ops=true"),
    Measurement("float16", 8),
    Measurement("float16", 32),
    Measurement("float16", 64),
    Measurement("tensorfloat32", 1),
    Measurement("bfloat16", 16),
)


def measure(measurement: Measurement | Accuracy, output: Path) -> dict[str, Any]:
    """Runs a measurement in a process of its own; returns what that prints, or the end of its error."""
    environment = os.environ | {"JAX_PLATFORMS": "cuda"}
    if isinstance(measurement, Accuracy):
        return _run(["experiments.bench.accuracy", *measurement.precisions], environment)
    cell = Cell("config-f-1024", measurement.batch_size, measurement.precision, ("jax",), steps=20, repeats=3)
    flags = [os.environ.get("XLA_FLAGS", ""), measurement.flags]
    if measurement.is_traced:
        cell = dataclasses.replace(cell, trace=str(output / "trace"))
        flags.append(f"--xla_dump_to={output / 'hlo'} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=.*advance.*")
    environment["XLA_FLAGS"] = " ".join(flags)
    if not measurement.flags:
        environment["JAX_COMPILATION_CACHE_DIR"] = str(output / "programs")
    return _run(["experiments.bench.cell", json.dumps(dataclasses.asdict(cell))], environment)


def _run(module: list[str], environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", *module], env=environment, capture_output=True, text=True)
    if done.returncode:
        return {"error": done.stderr[-2000:]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--seconds", type=float, default=360, help="time that there is")
    arguments = parser.parse_args()
    output = arguments.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + arguments.seconds
    rows: list[dict[str, Any]] = []
    for measurement in MEASUREMENTS:
        has_time = time.monotonic() + measurement.longest < end
        result = measure(measurement, output) if has_time else {"error": "not run: no time was left"}
        rows.append(dataclasses.asdict(measurement) | result)
        record = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "measurements": rows}
        files.write_text(output / "results.json", json.dumps(record, indent=1) + "\n")
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
