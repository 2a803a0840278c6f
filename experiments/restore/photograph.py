"""A photograph whose faces are found, with a folder claimed for each face and each seed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.options import Start
from experiments.restore import degrade, latent_files
from experiments.restore.crops import Crop
from experiments.restore.degrade import Observation
from experiments.restore.face_run import Work
from experiments.restore.jobs import Job
from experiments.runs import folder as run_folders
from experiments.runs import settings as run_settings
from experiments.runs.folder import RunFolder
from jaxgan import checkpoints, images, latents, optimization, truths, uncertainty
from jaxgan.errors import UserError
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.optimization import InversionState, LossTerms
from jaxgan.photos import photo_files

DOUBT, DOUBT_OF_ESTIMATE = 0.05, 0.1
"""Shares by which the width of a blur may be wrong that a user has stated, and one that was estimated."""


class ClaimedFace(NamedTuple):
    """A face and its folders.

    Attributes:
      crop: the face.
      folder: where its results go.
      runs: a folder for each start: `folder` itself for a single one, else folders inside it.
    """

    crop: Crop
    folder: Path
    runs: list[RunFolder]


@dataclasses.dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph with claimed folders.

    Attributes:
      job: what is asked for it.
      faces: those that are worked on, the finished ones among them.
      works: what is left to invert.
    """

    job: Job
    faces: list[ClaimedFace]
    works: list[Work]

    @property
    def runs(self) -> list[RunFolder]:
        """The folders of all faces and starts."""
        return [run for face in self.faces for run in face.runs]

    def begun(self) -> Photograph:
        """Leaves out the seeds and faces that were never begun, as the search was ended before their turn."""
        faces = [face._replace(runs=[run for run in face.runs if run.is_finished]) for face in self.faces]
        return dataclasses.replace(self, faces=[face for face in faces if face.runs])

    def release(self) -> None:
        """Lets other processes write into the folders."""
        for run in self.runs:
            run.release()


def claim(job: Job, crops: list[Crop], generator: Generator, *, resume: bool, overwrite: bool) -> Photograph:
    """Claims a folder for every face and start, all of them or none, and degrades the faces.

    Args:
      job: the photograph.
      crops: its faces.
      generator: the network.
      resume, overwrite: what to do with the folders that are there.
    Raises:
      UserError: a folder holds something else, or the blur or the mask does not fit the faces.
      OSError: a folder cannot be made.
    """
    begin = None if job.init is None else latent_files.read(job.init, generator.config, job.inversion.first)
    observations = [observe(job, crop) for crop in crops]
    folders = [run_folders.of_face(job.folder, crop.index) if has_face_folders(job) else job.folder for crop in crops]
    starts = job.starts
    for folder in folders if len(starts) > 1 and not overwrite else ():
        run_folders.check_kept(folder, starts[0].folder)
    claims = {
        folder / start.folder if len(starts) > 1 else folder: _settings(job, start, generator)
        for folder in folders
        for start in starts
    }
    runs = RunFolder.claim(claims, resume=resume, overwrite=overwrite)
    try:
        faces = [
            ClaimedFace(crop, folder, runs[first : first + len(starts)])
            for crop, folder, first in zip(crops, folders, range(0, len(runs), len(starts)), strict=True)
        ]
        works = [
            work
            for face, observation in zip(faces, observations, strict=True)
            for work in _works(job, face, observation, generator, begin, resume=resume)
        ]
        return Photograph(job, faces, works)
    except BaseException:
        for run in runs:
            run.release()
        raise


def observe(job: Job, crop: Crop) -> Observation:
    """Tells what is known of a face, and what is assumed to have happened to it.

    Raises:
      UserError: the blur or the mask does not fit the face.
    """
    scale = crop.placement.pixels_per_pixel
    return degrade.observe(
        degrade.in_crop(job.damage, scale, factor=crop.factor, photons=crop.photons),
        crop.pixels,
        crop.mask,
        compression=crop.compression,
        seed=run_settings.seed_of(job.path, crop.index),
        draws=job.method == "robust",
    )


def _works(
    job: Job,
    face: ClaimedFace,
    observation: Observation,
    generator: Generator,
    begin: tuple[np.ndarray, list[np.ndarray]] | None,
    *,
    resume: bool,
) -> Iterator[Work]:
    """Every start of a face that is not finished, from the beginning or from the last checkpoint in its folder."""
    settings = job.inversion
    if not (job.damage.already_degraded or "factor" in job.damage.blind):  # else each face has a factor of its own
        chain = degrade.happened(job.damage, generator.config.resolution, None)
        settings = settings.compared_at(truths.side_after(chain, generator.config.resolution))
    truth = None if job.damage.already_degraded else jnp.asarray(images.to_float(face.crop.pixels))
    for (key, offset), run in zip(_spread(job, face.crop.index, generator), face.runs, strict=True):
        if not run.is_finished:
            reached = run.restore(generator, job.inversion) if resume else None
            if reached is None and begin is not None:
                reached = _started(generator, job.inversion.first, key, *begin, offset)
            yield Work(
                run=run,
                settings=settings,
                truth=truth,
                observed=observation.observed,
                assumed=observation.assumed,
                key=key,
                snapshot_every=job.snapshot_every,
                checkpoint_seconds=job.checkpoint_seconds,
                noise=face.crop.noise if job.completion.noise is None else job.completion.noise,
                blur_doubt=_blur_doubt(job),
                fidelity=job.completion.fidelity,
                method=job.method,
                tuning=job.tuning,
                tuning_reached=run.restore_tuning(generator, job.tuning) if resume and job.tuning is not None else None,
                reached=reached,
                offset=offset,
            )


def _blur_doubt(job: Job) -> float:
    """The share by which the width of the blur may be wrong; stated noise says that it is right."""
    if job.completion.noise is not None:
        return 0.0
    if {"sigma", "length"} & set(job.damage.blind):
        return DOUBT_OF_ESTIMATE
    return DOUBT if job.damage.already_degraded else 0.0


def _spread(job: Job, face: int, generator: Generator) -> list[tuple[jax.Array, jax.Array | None]]:
    """The key of each start of a face, and what is added to its first w: nothing, unless it shows the uncertainty."""
    keys = [run_settings.key_for(seed, job.path, face) for seed in job.seeds]
    if job.uncertainty is None:
        return [(key, None) for key in keys]
    (key,), count, label = keys, job.uncertainty, job.networks["label"]
    w_avg = latents.w_statistics(generator, samples=job.inversion.first.w_samples, label=label).w_avg
    offsets = uncertainty.spread_starts(generator, w_avg, key, count=count, label=label)
    return [(key, None), *zip(uncertainty.start_keys(key, count=count)[1:], offsets[1:], strict=True)]


def _started(
    generator: Generator,
    config: InversionConfig,
    key: jax.Array,
    w: np.ndarray,
    noise: list[np.ndarray],
    offset: jax.Array | None,
) -> tuple[InversionState, LossTerms]:
    """An inversion of no step yet that begins with given latents, and noise maps if there are any to be optimised.

    A start that is moved away from the latents begins with noise maps of its own, too.
    """
    state = optimization.initial_state(generator, w if offset is None else w + np.asarray(offset), config, key)
    has_noise = bool(noise) and offset is None and config.noise == "optimized"
    latents = state.latents._replace(noise=tuple(map(jnp.asarray, noise))) if has_noise else state.latents
    none = jnp.zeros(0)
    return state._replace(latents=latents, best=latents), LossTerms(none, none, none, none)


def has_face_folders(job: Job) -> bool:
    """Whether every face has a folder of its own inside the photograph's."""
    return job.faces.may_be_several and not job.already_aligned and job.crop is None


def is_complete(job: Job) -> bool:
    """Whether the photograph's folder holds everything that was asked for, told without reading the photograph."""
    if job.paste_format is not None and not run_folders.restored(job.folder, job.paste_format).exists():
        return False
    return has_face_folders(job) or run_folders.result(job.folder) is not None


def make_room(jobs: Sequence[Job], *, resume: bool, overwrite: bool) -> None:
    """Looks whether the folders of many photographs may be written, and deletes the runs that are to be replaced.

    The runs of a photograph are deleted only if the photograph can be read, so that a broken file costs nothing.

    Raises:
      UserError: a folder holds something else, or runs that are neither to be continued nor replaced.
    """
    earlier = run_folders.check_many([job.folder for job in jobs], resume=resume, overwrite=overwrite)
    if not overwrite:
        return
    by_folder = {job.folder: job for job in jobs}
    for folder in earlier:
        with contextlib.suppress(UserError, OSError):  # told where the photograph is restored, and fails
            photo_files.read_photo(by_folder[folder].path)
            run_folders.remove(folder)


def _settings(job: Job, start: Start, generator: Generator) -> dict[str, Any]:
    """Everything that decides the result of a run: a resumed run must agree in all of it."""
    mask, own = job.damage.mask, job.damage.degradation
    return run_settings.as_stored(
        {
            "image": str(job.path),
            "image_sha256": checkpoints.sha256(job.path),
            "already_aligned": job.already_aligned,
            "crop": job.crop,
            "faces": dataclasses.asdict(job.faces),
            "landmarks_sha256": [checkpoints.sha256(file) for file in job.faces.landmarks],
            "damage": dataclasses.asdict(job.damage),
            "completion": dataclasses.asdict(job.completion),
            "mask_sha256": None if mask is None else checkpoints.sha256(mask),
            "degradation_sha256": None if own is None else checkpoints.sha256(Path(own.rpartition(":")[0])),
            "seed": start.seed,
            "sample": start.sample,
            "init": job.init,
            "init_sha256": None if job.init is None else checkpoints.sha256(latent_files.split(job.init)[0]),
            "method": job.method,
            "tuning": None if job.tuning is None else dataclasses.asdict(job.tuning),
            "inversion": [dataclasses.asdict(phase) for phase in job.inversion.phases],
            "snapshot_every": job.snapshot_every,
            "networks": job.networks,
            "generator": dataclasses.asdict(generator.config),
        }
    )
