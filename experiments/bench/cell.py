"""One cell of `experiments.benchmark`: a network, a batch size and a precision, timed in this process.

  python -m experiments.bench.cell '{"network": "demo", "batch_size": 1, ...}'

Prints a line of JSON. Each has a process of its own, so that memory is that of the cell, and running out of it is its
own affair.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from experiments.bench.torch_projector import Projector
    from jaxgan import Generator
    from jaxgan.batch import Batch
    from jaxgan.inversion_config import InversionConfig
    from jaxgan.optimization import LossTerms

Network = Literal["demo", "config-e-256", "config-f-1024"]

FIRST_LOSS_TOLERANCE = {"float32": 1e-4, "tensorfloat32": 1e-2, "bfloat16": 3e-2, "float16": 1e-2}
"""How far the first losses of the two programs may lie apart. Seen on a CPU with the embedded network: 2e-6 in float32,
see tests/test_benchmark.py; TF32 has float16's mantissa."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is timed.

    Attributes:
      network: the embedded one, or random weights of configuration E or F.
      batch_size: images at once.
      precision: see `InversionConfig`.
      programs: which of "jax" and "torch"; both are timed in turn.
      steps, repeats: steps of one timing, and timings.
      seed: of targets, first noise maps and random weights.
      trace: folder for a profile of one more timing of JAX's program; None for no profile.
    """

    network: Network
    batch_size: int
    precision: str
    programs: tuple[str, ...]
    steps: int
    repeats: int
    seed: int = 0
    trace: str | None = None


def run(cell: Cell) -> dict[str, Any]:
    """Times a cell.

    Returns:
      `device`, `flops_per_step` (of one image) and, after each program's name, `ms_per_step` (median; of all images)
      and `peak_bytes`; `jax_compile_s`; `jax_losses_sha256`, of all losses of the first timing, which are the same
      bits where a program repeats; with both programs also the median `ratio` of JAX's to PyTorch's time.
    Raises:
      AssertionError: the first losses differ, so that times would mean nothing.
    """
    import jax
    import numpy as np

    import jaxgan
    from experiments.bench import flops
    from jaxgan import optimization

    generator, lpips = load(cell.network, cell.seed), jaxgan.load_lpips()
    settings = dataclasses.replace(jaxgan.InversionConfig.reference(), precision=cell.precision)
    prior = optimization.make_prior(generator, settings)
    render = jax.jit(lambda generator, z: generator.synthesis(generator.mapping(z)))
    keys = jax.random.split(jax.random.key(cell.seed), cell.batch_size)
    problems, states = [], []
    for key in keys:
        target = render(generator, jax.random.normal(key, (generator.config.z_dim,)))
        problem = optimization.make_problem(generator, lpips, target, jaxgan.Identity(), settings, prior=prior)
        problems.append(problem)
        states.append(optimization.initial_state(generator, problem.start, settings, key))
    device = jax.devices()[0]
    result: dict[str, Any] = {
        "device": device.device_kind,
        "flops_per_step": flops.of_step(generator.config, settings.feature_size),
        "peak_tflops": flops.peak_of_step(generator.config, device.device_kind, cell.precision, settings.feature_size),
    }
    if device.platform == "cpu":
        result["device"], result["peak_tflops"] = cpu_name(), flops.measured_cpu_tflops()

    advance: dict[str, Callable[[], Any]] = {}
    first: dict[str, np.ndarray] = {}
    if "torch" in cell.programs:
        projector = torch_projector(generator, lpips, problems, settings, states, device.platform)
        first["torch"] = first_loss_of_torch(projector, settings, keys)
        advance["torch"] = lambda: [projector.step() for _ in range(cell.steps)] and synchronize(projector)
    if "jax" in cell.programs:
        batch, terms, result["jax_compile_s"] = jax_batch(cell, generator, lpips, problems, keys, states)
        first["jax"] = terms.total[:, 0]
        result["jax_losses_sha256"] = hashlib.sha256(np.ascontiguousarray(terms.total).tobytes()).hexdigest()
        advance["jax"] = lambda: batch.advance(cell.steps)
    if len(first) == 2:
        tolerance = FIRST_LOSS_TOLERANCE[cell.precision]
        if not np.allclose(first["jax"], first["torch"], rtol=tolerance, atol=0):
            raise AssertionError(f"the first losses differ: {first['jax']} and {first['torch']}")
        result["first_loss_error"] = float(np.max(np.abs(first["jax"] / first["torch"] - 1)))
    result |= timings(advance, cell)
    if cell.trace is not None:
        with jax.profiler.trace(cell.trace):
            advance["jax"]()
    for program in cell.programs:
        result[f"{program}_peak_bytes"] = peak_bytes(program)
    return result


def load(network: Network, seed: int) -> Generator:
    """The embedded network, or one of random weights."""
    from flax import nnx

    import jaxgan
    from jaxgan import GeneratorConfig

    if network == "demo":
        return jaxgan.load_generator("demo")
    config = GeneratorConfig.config_e(256) if network == "config-e-256" else GeneratorConfig.config_f(1024)
    return jaxgan.Generator(config, rngs=nnx.Rngs(seed))


def jax_batch(cell, generator, lpips, problems, keys, states) -> tuple[Batch, LossTerms, float]:
    """The compiled batch, the losses of its first steps, and the seconds that compiling took."""
    from jaxgan.batch import Batch

    batch = Batch(generator, lpips, cell.batch_size)
    start = time.perf_counter()
    batch.bytes_needed(problems[0], keys[0], states[0])
    seconds = time.perf_counter() - start
    for place, image in enumerate(zip(problems, keys, states, strict=True)):
        batch.put(place, *image)
    return batch, batch.advance(cell.steps), seconds


def torch_projector(generator, lpips, problems, settings, states, platform: str) -> Projector:
    """The same problem in PyTorch, on the same device."""
    from experiments.bench.torch_projector import Projector

    return Projector(generator, lpips, problems, settings, states, "cpu" if platform == "cpu" else "cuda")


def first_loss_of_torch(projector: Projector, settings: InversionConfig, keys) -> Any:
    """PyTorch's loss of the first step with the jitter that JAX draws in it, `[n]`."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch

    draw = jax.vmap(lambda key: jax.random.normal(jax.random.fold_in(key, 0), projector.w.shape[1:]))(keys)
    jitter = np.array(draw * settings.numbers().jitter_at(jnp.int32(0), jnp.float32(projector.w_std)))
    with torch.no_grad():
        return projector.loss(projector.w + torch.tensor(jitter, device=projector.device)).cpu().numpy()


def synchronize(projector: Projector) -> None:
    """Waits for the GPU."""
    if projector.device == "cuda":
        import torch

        torch.cuda.synchronize()


def timings(advance: dict[str, Callable[[], Any]], cell: Cell) -> dict[str, float]:
    """Medians of times taken in turn, so that what disturbs one program disturbs the other."""
    import numpy as np

    for program in advance.values():
        program()  # the first steps allocate
    seconds: dict[str, list[float]] = {program: [] for program in advance}
    for _ in range(cell.repeats):
        for name, program in advance.items():
            start = time.perf_counter()
            program()
            seconds[name].append(time.perf_counter() - start)
    result = {f"{name}_ms_per_step": 1e3 * float(np.median(times)) / cell.steps for name, times in seconds.items()}
    if len(advance) == 2:
        result["ratio"] = float(np.median(np.divide(seconds["jax"], seconds["torch"])))
    return result


def peak_bytes(program: str) -> int:
    """Most memory so far: of this program on a GPU, of this whole process on a CPU."""
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kB on Linux
    if program == "jax":
        return device.memory_stats()["peak_bytes_in_use"]
    import torch

    return torch.cuda.max_memory_allocated()


def cpu_name() -> str:
    """The processor and how many of its cores this process may use."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'CPU'}, {len(os.sched_getaffinity(0))} cores"


def is_out_of_memory(error: Exception) -> bool:
    """Whether a program asked for more memory than there is."""
    text = str(error)
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower()


def main(text: str) -> None:
    """Runs a cell given as JSON and prints its result as JSON."""
    fields = json.loads(text)
    try:
        result = run(Cell(**{**fields, "programs": tuple(fields["programs"])}))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        result = {"error": "out of memory"}
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
