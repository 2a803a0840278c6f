"""Time of an optimisation step, beside the same projector written plainly in PyTorch.

  python -m experiments.benchmark --network demo

Runs both in turn, in one process, and prints medians; then each alone, in a process of its own, for its peak memory.
One minute for the embedded network on two CPU cores, four for the other; needs PyTorch. The first losses of the two are
checked to agree.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Literal

from experiments import cli


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of `experiments.benchmark`."""

    network: Literal["demo", "config-e-256"] = "demo"
    """The embedded network, or a random one of configuration E at 256x256."""
    steps: int = 10
    """Steps of one timing."""
    repeats: int = 7
    """Timings of each program."""
    only: Literal["both", "jax", "torch"] = "both"
    """Run one program alone and print its peak memory."""


def run(config: Config) -> dict[str, float]:
    """Runs the benchmark; prints a Markdown row and returns its numbers."""
    import jax
    import numpy as np
    import torch
    from flax import nnx

    import jaxgan
    from experiments.torch_projector import Projector
    from jaxgan import inversion

    if config.network == "demo":
        generator = jaxgan.load_generator("demo")
    else:
        generator = jaxgan.Generator(jaxgan.GeneratorConfig.config_e(256), rngs=nnx.Rngs(0))
    lpips = jaxgan.load_lpips()
    settings = inversion.InversionConfig.reference()
    key = jax.random.key(0)
    z = jax.random.normal(key, (generator.config.z_dim,))
    target = jax.jit(lambda g, z: g.synthesis(g.mapping(z)))(generator, z)
    problem = inversion.make_problem(generator, lpips, target, jaxgan.Identity(), settings)
    state = inversion.initial_state(generator, problem.start, settings, key)
    arguments = (generator, lpips, problem, settings, key, state, config.steps)

    if config.only == "torch":
        return _alone(Projector(generator, lpips, problem, settings, state).step)
    if config.only == "jax":
        return _alone(lambda: jax.block_until_ready(inversion.run_chunk(*arguments)))

    start = time.perf_counter()
    inversion.run_chunk.lower(*arguments).compile()
    compile_seconds = time.perf_counter() - start
    ours = jax.block_until_ready(inversion.run_chunk(*arguments))[1].total[0]
    projector = Projector(generator, lpips, problem, settings, state)
    jitter = settings.jitter_at(state.step, problem.statistics.w_std)
    draw = jax.random.normal(jax.random.fold_in(key, 0), state.latents.w.shape)
    theirs = float(projector.loss(projector.w + torch.tensor(np.array(jitter * draw))))
    if not np.isclose(ours, theirs, rtol=1e-4):
        raise AssertionError(f"the first losses differ: {ours} and {theirs}")

    seconds: dict[str, list[float]] = {"jax": [], "torch": []}
    for _ in range(config.repeats):
        start = time.perf_counter()
        jax.block_until_ready(inversion.run_chunk(*arguments))
        seconds["jax"].append(time.perf_counter() - start)
        start = time.perf_counter()
        for _ in range(config.steps):
            projector.step()
        seconds["torch"].append(time.perf_counter() - start)
    ratios = np.array(seconds["jax"]) / np.array(seconds["torch"])
    numbers = {
        "jax_ms": 1e3 * float(np.median(seconds["jax"])) / config.steps,
        "torch_ms": 1e3 * float(np.median(seconds["torch"])) / config.steps,
        "ratio": float(np.median(ratios)),
        "compile_s": compile_seconds,
        "jax_peak_gb": _peak_in_its_own_process(config, "jax"),
        "torch_peak_gb": _peak_in_its_own_process(config, "torch"),
    }
    print("| network | " + " | ".join(numbers) + " |")
    print("| --- " * (len(numbers) + 1) + "|")
    print(f"| {config.network} | " + " | ".join(f"{value:.2f}" for value in numbers.values()) + " |")
    return numbers


def _alone(step: Callable[[], object]) -> dict[str, float]:
    for _ in range(3):
        step()
    peak = {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}  # kB on Linux
    print(json.dumps(peak))
    return peak


def _peak_in_its_own_process(config: Config, program: str) -> float:
    command = [sys.executable, "-m", "experiments.benchmark", "--network", config.network, "--only", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])["peak_gb"]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(Config, run, argv, prog="python -m experiments.benchmark", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
