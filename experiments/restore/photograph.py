"""A photograph on its way through a restoration: its faces, a folder and some seeds for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.restore import degrade as tasks
from experiments.restore import faces as face_options
from experiments.restore import paste_back, restarts
from experiments.restore.crops import Crop, load_crops
from experiments.restore.face_run import Work
from experiments.restore.jobs import Source
from experiments.runs import folder as run_folder
from experiments.runs import settings as run_settings
from experiments.runs.folder import RunFolder
from jaxgan.generator import Generator


class Photograph:
    """A photograph with its faces, each with one or several seeds.

    Attributes:
      path, config: the file and the options that hold for it.
      folder: where its results go.
      crops: its faces, once it is loaded.
      error: why it failed.
    """

    def __init__(self, source: Source, folder: Path):
        self.path, self.config = source
        self.folder = folder
        self.crops: list[Crop] = []
        self.error: str | None = None
        self._seeds_of_face: dict[Path, list[RunFolder]] = {}
        self._open: set[Path] = set()

    @property
    def name(self) -> str:
        """Its name among others."""
        return self.folder.name

    def load(self, generator: Generator, say) -> list[Crop]:
        """Reads the file and finds the faces.

        Raises:
          UserError: as `photographs.load_crops`.
        """
        self.crops = load_crops(self.path, self.config, generator.config, say=say)
        return self.crops

    def claim(self, generator: Generator, *, resume: bool, overwrite: bool) -> list[Work]:
        """Claims a folder for every face and seed, all of them or none; the work that is left.

        Raises:
          UserError: a folder holds something else, or an option does not fit.
          OSError: a folder cannot be made.
        """
        settings = tasks.inversion_config(self.config)
        resolution = generator.config.resolution
        degradations = [tasks.degradations(self.config, resolution, crop.mask) for crop in self.crops]
        planned = []
        for crop, pair in zip(self.crops, degradations, strict=True):
            folder = run_folder.of_face(self.folder, crop.index) if self._has_face_folders else self.folder
            for config in restarts.configs(self.config):
                planned.append((folder, restarts.folder(folder, self.config, config.seed), config, crop, pair))
        claims = {
            path: run_settings.settings(config, settings, self.path, generator) for _, path, config, _, _ in planned
        }
        runs = RunFolder.claim(claims, resume=resume, overwrite=overwrite)
        works = []
        for (folder, path, config, crop, pair), run in zip(planned, runs, strict=True):
            self._seeds_of_face.setdefault(folder, []).append(run)
            if not run.is_finished:
                self._open.add(path)
                reached = run.restore(generator, settings) if resume else None
                works.append(Work.prepare(run, config, settings, self.path, crop, pair, reached))
        return works

    def end(self, work: Work) -> bool:
        """Takes note that a work is finished or failed; whether it was the last one."""
        self._open.discard(work.run.path)
        return not self._open

    def complete(self, resolution: int, say) -> dict[str, Any]:
        """Keeps the best seed of every face and pastes the faces back; facts for the record."""
        results = {}
        for folder, runs in self._seeds_of_face.items():
            if restarts.are_several(self.config):
                restarts.keep_best(folder, runs)
            results[folder.name] = run_folder.result(folder)
        if self.config.paste_back:
            self.folder.mkdir(parents=True, exist_ok=True)
            faces = list(zip(self.crops, self._seeds_of_face, strict=True))
            paste_back.write(self.folder, self.path, faces, self.config, resolution, say=say)
        return {"faces": results} if self._has_face_folders else {"result": results.get(self.folder.name)}

    def is_complete(self) -> bool:
        """Whether the folder holds what was asked for, told without reading the photograph."""
        if self.config.paste_back and not any(self.folder.glob("restored.*")):
            return False
        return self._has_face_folders or run_folder.result(self.folder) is not None

    @property
    def _has_face_folders(self) -> bool:
        return face_options.are_several(self.config)
