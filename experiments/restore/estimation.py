"""The stage of a face before its inversion, if parameters of its damage are unknown: they are estimated.

Every seed of a face assumes the same estimate, which is made once and kept in the folder of each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from experiments.restore import degrade
from experiments.restore.photograph import Photograph
from experiments.restore.progress import Progress
from experiments.runs import estimate as estimate_files
from experiments.runs.estimate import Estimated
from jaxgan import blind, parameters
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.optimization import Prior


def estimate(
    photograph: Photograph, generator: Generator, prior: Callable[[InversionConfig], Prior], progress: Progress
) -> None:
    """Estimates what is unknown of a photograph's damage, for every face, and lets its inversions assume it.

    Args:
      photograph: the photograph; a face whose estimate an earlier process kept takes that.
      generator: the network.
      prior: finds what is known of the network, whose samples are needed.
      progress: shows that parameters are estimated, and tells what came out.
    Raises:
      UserError: what an earlier process kept cannot be read.
      OSError: a folder cannot be written.
    """
    job = photograph.job
    unknown = job.damage.blind
    if not unknown:
        return
    for face in photograph.faces:
        works = [work for work in photograph.works if work.run in face.runs]
        if not works:
            continue
        kept = [estimate_files.load(run.path) for run in face.runs]
        estimates = next((one for one in kept if one is not None), None)
        if estimates is None:
            progress.note(f"estimating {', '.join(unknown)}")
            config = job.inversion.first
            if not config.start_samples:
                config = dataclasses.replace(config, start_samples=blind.MOST_SAMPLES)
            work = works[0]
            estimates = blind.estimate_parameters(
                generator, work.observed, work.assumed, unknown, samples=prior(config).samples
            )
        scale = face.crop.placement.pixels_per_pixel if job.damage.already_degraded else None
        estimated = Estimated(estimates, degrade.true_values(job.damage, len(face.crop.pixels)), scale)
        values = {name: one.value for name, one in estimates.items()}
        for work in works:
            estimate_files.save(work.run.path, estimates)
            work.assumed, work.estimated = parameters.with_parameters(work.assumed, values), estimated
        for line in estimate_files.sentences(estimated):
            progress.say(f"{job.path}: face {face.crop.index}: {line}")
