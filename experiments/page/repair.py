"""A repair, made as the command `experiments.invert` makes it: the same options, stages and files."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import jax
import numpy as np

from experiments import networks
from experiments.cli import say
from experiments.page import results, views
from experiments.page.limits import Limits
from experiments.page.results import OUTPUT, Result
from experiments.page.runner import Teller
from experiments.restore import crops
from experiments.restore.crops import Crop
from experiments.restore.face_run import Work
from experiments.restore.jobs import Job, collect
from experiments.restore.photograph import has_face_folders, observe
from experiments.restore.pipeline import Engine, restore_one
from experiments.runs import folder as run_folders
from jaxgan import images
from jaxgan.generator import Generator
from jaxgan.lpips import LPIPS
from jaxgan.photos import photo_files


@dataclasses.dataclass(frozen=True)
class Workshop:
    """What all repairs share.

    Attributes:
      limits: of one repair.
      lpips: folder of the distance that is minimised; None for the default one.
    """

    limits: Limits
    lpips: Path | None = None

    def repair(self, folder: Path, result: Result, teller: Teller) -> None:
        """Makes a repair, and writes its facts and pictures.

        Args:
          folder: prepared by `results.prepare`.
          result: what is asked for; its batch size is found here.
          teller: told how it gets on.
        Raises:
          UserError, Mistakes, ValueError: something is wrong with the photograph or with what was asked for.
        """
        lines: list[str] = []
        job = self._job(folder, result)
        generator, lpips = self._networks(result.draft.choices.network, job.damage.tasks)
        faces = crops.load(job, generator.config, say=lines.append)
        searches = len(faces) * result.draft.choices.searches
        if searches > self.limits.searches:
            raise ValueError(
                f"{searches} searches for {len(faces)} faces; at most {self.limits.searches} are made at once: choose "
                "fewer faces or attempts."
            )
        if teller.is_cancelled():
            raise ValueError("Cancelled before the search began.")
        devices = tuple(jax.local_devices())
        size = -(-max(1, searches) // len(devices)) * len(devices)
        engine = Engine(generator, lpips, devices[:1] if searches == 1 else devices, size)
        watcher = _Watcher(teller, job.steps_of_run)
        restore_one(engine, job, faces, resume=False, overwrite=False, watcher=watcher)
        stop_after = watcher.step if watcher.step < job.steps_of_run and faces else None
        self._finish(folder, dataclasses.replace(result, batch_size=size, stop_after=stop_after), job, faces, lines)

    def keep(self, folder: Path, attempt: str, teller: Teller) -> None:
        """Takes another attempt of a finished repair for its result; nothing is searched again."""
        result = dataclasses.replace(results.load(folder), keep=attempt)
        job = self._job(folder, dataclasses.replace(result, stop_after=None))  # as the runs were begun
        generator, lpips = self._networks(result.draft.choices.network, job.damage.tasks)
        lines: list[str] = []
        faces = crops.load(job, generator.config, say=lines.append)
        engine = Engine(generator, lpips, tuple(jax.local_devices()), result.batch_size)
        restore_one(engine, job, faces, resume=True, overwrite=False)
        self._finish(folder, result, job, faces, lines)

    def preview(self, folder: Path, result: Result) -> list[np.ndarray]:
        """Shows what the program takes for observed of each face: uint8 `[N, N, 3]`.

        Raises:
          UserError, Mistakes: as for `repair`.
        """
        job = self._job(folder, result)
        generator, _ = self._networks(result.draft.choices.network, job.damage.tasks)
        faces = crops.load(job, generator.config, say=say)
        return [images.to_uint8(np.asarray(observe(job, crop).observed)) for crop in faces]

    def _job(self, folder: Path, result: Result) -> Job:
        chosen = results.options(result, folder, folder / OUTPUT)
        devices = len(jax.local_devices())
        chosen = dataclasses.replace(chosen, machines=dataclasses.replace(chosen.machines, batch_size="auto"))
        return collect(chosen, default=photo_files.sample_photo_path(), device_count=devices).jobs[0]

    def _networks(self, model: str, tasks: frozenset[str]) -> tuple[Generator, LPIPS]:
        return _loaded(model, self.lpips, tasks & {"colorize"})  # not every network can make colours

    def _finish(self, folder: Path, result: Result, job: Job, faces: list[Crop], lines: list[str]) -> None:
        """Writes the pictures for the browser and, last, the facts."""
        after = photo_files.read_photo(run_folders.restored(job.folder, "png"))
        before = photo_files.read_photo(job.path)
        views.photograph(folder / "views" / "after.jpg", after)
        views.photograph(folder / "views" / "before.jpg", before, (after.shape[1], after.shape[0]))
        homes = [run_folders.of_face(job.folder, face.index) if has_face_folders(job) else job.folder for face in faces]
        attempts, doubts = [], []
        for name in sorted(path.name for path in homes[0].glob("s*-*/")) if homes else ():  # seed-0, sample-00
            attempts.append(f"{name}.png")
            shown = [_best_picture(home / name) for home in homes if (home / name / "reconstruction.png").exists()]
            images.write_png(folder / "views" / attempts[-1], views.row(shown))
        for number, home in enumerate(homes, start=1):
            for name in ("uncertainty", "samples"):
                if (home / f"{name}.png").exists():
                    doubts.append(f"{name}-{number}.png")
                    images.write_png(folder / "views" / doubts[-1], photo_files.read_photo(home / f"{name}.png"))
        told = tuple(line.replace(str(job.path), result.draft.name) for line in lines)
        results.save(
            folder,
            dataclasses.replace(result, is_finished=True, lines=told, attempts=tuple(attempts), doubts=tuple(doubts)),
        )


@functools.lru_cache(maxsize=1)  # a network takes memory, and loading it seconds
def _loaded(model: str, lpips: Path | None, tasks: frozenset[str]) -> tuple[Generator, LPIPS]:
    return networks.load(model, lpips, tasks=tasks)


def _best_picture(run: Path) -> np.ndarray:
    path = run / "restoration.png"
    return photo_files.read_photo(path if path.exists() else run / "reconstruction.png")


class _Watcher:
    """Hands on what the loop tells, and the faces as they are."""

    def __init__(self, teller: Teller, steps: int):
        self.step = 0
        self._steps = steps
        self._teller = teller
        self._pictures: dict[Work, np.ndarray] = {}

    def advanced(self, works: list[Work]) -> None:
        self.step = min(work.total_steps for work in works)
        self._teller.stepped(self.step, self._steps)

    def pictured(self, work: Work, picture: np.ndarray) -> None:
        self._pictures[work] = images.to_uint8(picture)
        self._teller.tell(picture=views.png(views.row(list(self._pictures.values()))))

    def wants_end(self) -> bool:
        return self._teller.is_cancelled()
