"""Time and memory of converting a snapshot of the size of ffhq.pkl (381 MB).

  python -m experiments.bench.conversion

Writes a snapshot of the FFHQ architecture (1024x1024, configuration F) with random weights into a temporary folder,
then converts it in processes of their own, so that nothing else counts. Half a minute; needs PyTorch to write the file,
and Linux for the peak of the memory.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments import cli

_CHILD = """
import json, sys, time
import jax, flax.nnx, orbax.checkpoint, safetensors.numpy, tyro
from convert import stylegan2, inspection, known_files, output_folder
from convert.__main__ import main
from jaxgan import checkpoints

def peak_kb():  # not ru_maxrss, which a child process starts at its parent's
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

imported = peak_kb()
start = time.perf_counter()
code = main(sys.argv[1:])
seconds = time.perf_counter() - start
print(json.dumps({"code": code, "seconds": seconds, "imports_kb": imported, "peak_kb": peak_kb()}))
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of `experiments.bench.conversion`."""

    resolution: int = 1024
    """Of the network; 1024 gives a file of 381 MB."""
    repeats: int = 3
    """Conversions; the median time is printed."""


def run(config: Config) -> dict[str, float]:
    """Runs the benchmark; prints a Markdown row and returns its numbers."""
    import numpy as np

    from convert.found import expected_shapes
    from experiments.bench.snapshot_writer import DISCRIMINATOR_NUMBERS, write_snapshot
    from jaxgan.generator_config import GeneratorConfig

    network = GeneratorConfig.config_f(config.resolution)
    random = np.random.default_rng(0)
    weights = {path: random.standard_normal(s.shape, np.float32) for path, s in expected_shapes(network).items()}
    numbers = DISCRIMINATOR_NUMBERS if config.resolution == 1024 else 1000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.pkl"
        write_snapshot(path, network, weights, discriminator_numbers=numbers)
        del weights
        size = path.stat().st_size
        runs = []
        for index in range(config.repeats):
            arguments = ["stylegan2", str(path), "--output", f"{folder}/{index}"]
            done = subprocess.run(
                [sys.executable, "-c", _CHILD, *arguments], capture_output=True, text=True, check=True
            )
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    assert all(run["code"] == 0 for run in runs)
    found = {
        "file_mb": size / 1e6,
        "seconds": float(np.median([run["seconds"] for run in runs])),
        "peak_mb": max(run["peak_kb"] for run in runs) * 1.024e-3,
        "of_it_imports_mb": max(run["imports_kb"] for run in runs) * 1.024e-3,
        "peak_over_file": max(run["peak_kb"] for run in runs) * 1024 / size,
    }
    print("| " + " | ".join(found) + " |")
    print("| --- " * len(found) + "|")
    print("| " + " | ".join(f"{value:.2f}" for value in found.values()) + " |")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(Config, run, argv, prog="python -m experiments.bench.conversion", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
