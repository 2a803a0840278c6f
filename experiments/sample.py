"""Draw a sheet of samples of a network, for a first look at one that was just converted.

  python -m experiments.sample --model converted/ffhq
  python -m experiments.sample --seeds 1 2 3 --psi 1 --output samples.png

A seed gives the latent that other tools of this network family draw from it. Each picture has its seed above it. The
embedded network takes some seconds for the default, 16 samples.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from experiments import cli
from experiments.options import default

LARGEST = 256
"""Side of a picture on the sheet; larger samples are reduced."""


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """Options of `experiments.sample`."""

    model: str = "demo"
    """Folder written by `python -m convert stylegan2`, or `demo`."""
    output: Path = Path("outputs/samples.png")
    """PNG file to write; an existing file is replaced."""
    seeds: tuple[int, ...] = tuple(range(16))
    """Seeds of the samples."""
    psi: float = 0.7
    """Truncation: 1 takes samples as they are, 0 the mean latent; between, they are less varied and more plausible."""
    label: Annotated[int | None, default("all its classes in turn")] = None
    """Class of a class-conditional network, from 0."""
    columns: int = 4
    """Number of pictures in a row."""


def run(options: SampleOptions) -> Path:
    """Runs the command; returns the file written.

    Raises:
      cli.Mistakes: the options are wrong.
      UserError: the folder holds no network, or the network has no such class.
    """
    cli.Mistakes.check(_problems(options))
    import jax
    import numpy as np

    from experiments import networks
    from experiments.runs import pictures
    from jaxgan import images, latents
    from jaxgan.generator import as_rgb

    generator = networks.load_generator(options.model, label=options.label)
    config, w_avg = generator.config, generator.mapping.w_avg[...]
    synthesis = jax.jit(lambda ws: as_rgb(generator.synthesis(ws)))
    tiles = []
    for index, seed in enumerate(options.seeds):
        label = index % config.c_dim if options.label is None and config.c_dim else options.label
        w = latents.mapped_samples(generator, samples=1, seed=seed, label=label)[0]
        ws = latents.broadcast(w_avg + options.psi * (w - w_avg), num_ws=config.num_ws)
        picture = images.to_uint8(np.asarray(synthesis(ws)))
        tiles.append((str(seed), pictures.thumbnail(picture, min(max(config.resolution, 64), LARGEST))))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    images.write_png(options.output, pictures.sheet(tiles, columns=options.columns, bar=20))
    cli.say(f"{options.output}: {len(tiles)} samples of {options.model}")
    return options.output


def _problems(options: SampleOptions) -> list[str]:
    problems = []
    if not options.seeds or not all(0 <= seed < 2**32 for seed in options.seeds):
        problems.append("--seeds: expected one or more numbers from 0 to 4294967295.")
    if not math.isfinite(options.psi):
        problems.append(f"--psi is {options.psi}; expected a number, 1 for no truncation.")
    if options.columns < 1:
        problems.append(f"--columns is {options.columns}; expected 1 or more.")
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(SampleOptions, run, argv, prog="python -m experiments.sample", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
