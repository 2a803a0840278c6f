"""Time of an optimisation step, beside the same projector written plainly in PyTorch.

  python -m experiments.benchmark --network demo

Runs both in turn, in one process, and prints medians. About a minute for the embedded network on two CPU cores; needs
PyTorch. The first losses of the two are checked to agree.
"""

from __future__ import annotations

import dataclasses
import resource
import sys
import time
from collections.abc import Sequence
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
    state = inversion.initial_state(generator, problem.statistics, settings, key)
    arguments = (generator, lpips, problem, settings, key, state, config.steps)

    start = time.perf_counter()
    inversion.run_chunk.lower(*arguments).compile()
    compile_seconds = time.perf_counter() - start
    ours = jax.block_until_ready(inversion.run_chunk(*arguments))[1].total[0]
    projector = Projector(generator, lpips, problem, settings, state)
    jitter = settings.jitter_at(state.step, problem.statistics.w_std)
    draw = jax.random.normal(jax.random.fold_in(key, 0), state.latents.w.shape)
    theirs = float(projector.loss(projector.w + torch.tensor(np.asarray(jitter * draw))))
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
        "peak_gb_of_both": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    print("| network | " + " | ".join(numbers) + " |")
    print("| --- " * (len(numbers) + 1) + "|")
    print(f"| {config.network} | " + " | ".join(f"{value:.2f}" for value in numbers.values()) + " |")
    return numbers


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(Config, run, argv, prog="python -m experiments.benchmark", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
