"""All that a visitor does to a draft and to results, from the opening of a photograph to the next repair of its result.

Nothing here knows of Gradio; `events` calls these functions and shows what they return.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np

from experiments.page import drafts, found_faces, results, strokes, views
from experiments.page.choices import Choices
from experiments.page.drafts import Draft, Point
from experiments.page.repair import Workshop
from experiments.page.results import Result
from experiments.page.runner import Runner, Task, Teller
from experiments.page.storage import RECORD, Storage
from experiments.runs import folder as run_folders
from jaxgan.errors import UserError
from jaxgan.photos import photo_files
from jaxgan.photos.mask_files import read_mask

_CHANGING = threading.Lock()  # a click and a stroke may come at the same time


@dataclasses.dataclass(frozen=True)
class Desk:
    """Where drafts lie, and who repairs them.

    Attributes:
      store: the visitors' folders.
      runner: the queue of repairs.
      workshop: makes them.
      steps: of every search; None for those of the command.
    """

    store: Storage
    runner: Runner
    workshop: Workshop
    steps: int | None = None

    def folder(self, visitor: str, name: str | None) -> Path:
        """The folder of a draft or result.

        Raises:
          UserError: it is gone.
        """
        folder = self.store.find(visitor, name)
        if folder is None:
            raise UserError("This photograph is not here any more; open it again.")
        return folder

    def open(self, folder: Path) -> Draft:
        """Opens the photograph that was uploaded into a folder, and finds its faces.

        Raises:
          UserError: its pixels cannot be read; the folder is gone.
        """
        path = drafts.photograph(folder)
        try:
            photo = photo_files.read_photo(path)
        except UserError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise UserError(str(error).replace(str(path), path.name)) from None
        views.photograph(folder / "views" / "photograph.jpg", photo)
        faces = found_faces.find(photo)
        draft = Draft(path.name, (photo.shape[1], photo.shape[0]), faces=faces, chosen=tuple(range(len(faces))))
        drafts.save(folder, draft)
        return draft

    def open_sample(self, visitor: str) -> tuple[Path, Draft]:
        """Opens the portrait that comes with the program."""
        folder, sample = self.store.make(visitor, "draft"), photo_files.sample_photo_path()
        (folder / "photograph").mkdir()
        shutil.copyfile(sample, folder / "photograph" / sample.name)
        return folder, self.open(folder)

    def change(self, folder: Path, **facts: Any) -> Draft:
        """Changes a draft."""
        with _CHANGING:
            draft = dataclasses.replace(drafts.load(folder), **facts)
            drafts.save(folder, draft)
        return draft

    def paint(self, folder: Path, painted: list[dict[str, Any]]) -> Draft:
        """Keeps what is painted.

        Raises:
          ValueError: it is no painting.
        """
        strokes.read(painted)
        return self.change(folder, painted=tuple(painted))

    def take_mask(self, folder: Path, file: str, *, white_is_damage: bool) -> Draft:
        """Takes the mask of a file that was uploaded, in place of all that was painted before.

        Raises:
          UserError: it is no mask of this photograph.
        """
        draft, path = drafts.load(folder), folder / "mask-upload" / Path(file).name
        try:
            mask = read_mask(path, invert=white_is_damage)
        except UserError as error:
            raise UserError(str(error).replace(str(path), path.name)) from None
        finally:
            shutil.rmtree(folder / "mask-upload", ignore_errors=True)
        if mask.shape != draft.size[::-1]:
            raise UserError(
                f"{path.name} is {mask.shape[1]}x{mask.shape[0]}; expected {draft.size[0]}x{draft.size[1]}, the size "
                "of the photograph."
            )
        drafts.keep_hole(folder, mask)
        views.hole(folder / "views" / "hole.png", mask < 0.5)
        return self.change(folder, painted=())

    def point(self, folder: Path, places: list[Point]) -> Draft:
        """Takes the eyes that the visitor pointed at, in shares of the picture's sides."""
        width, height = drafts.load(folder).size
        eyes = tuple((round(x * width - 0.5, 1), round(y * height - 0.5, 1)) for x, y in places)
        return self.change(folder, eyes=eyes)

    def look_closer(self, folder: Path) -> Draft:
        """Looks for small faces, too, and for faces that what is painted now disturbed."""
        from jaxgan.photos import paste

        draft = drafts.load(folder)
        photo, hole = photo_files.read_photo(drafts.photograph(folder)), drafts.hole(folder, draft)
        if hole.any() and not hole.all():
            photo = paste.fill_holes(photo, hole, [], tone=None)
        faces = found_faces.find(photo, thorough=True)
        return self.change(folder, faces=faces, chosen=tuple(range(len(faces))), eyes=())

    def preview(self, visitor: str, folder: Path) -> list[np.ndarray]:
        """Shows what the program takes for observed of each face.

        Raises:
          UserError, Mistakes, ValueError: something is missing or wrong.
        """
        draft, place = drafts.load(folder), self.store.make(visitor, "result")
        try:
            results.prepare(folder, draft, place)
            return self.workshop.preview(place, Result(draft))
        finally:
            shutil.rmtree(place)

    def begin(self, visitor: str, folder: Path) -> Task:
        """Puts a repair into the queue.

        Raises:
          ValueError: something is missing.
        """
        result, place = Result(drafts.load(folder), steps=self.steps), self.store.make(visitor, "result")
        try:
            results.prepare(folder, result.draft, place)
        except BaseException:
            shutil.rmtree(place)
            raise
        return self.runner.add(Task(visitor, place, functools.partial(self._repair, place, result)))

    def _repair(self, place: Path, result: Result, teller: Teller) -> None:
        try:
            self.workshop.repair(place, result, teller)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise

    def take_attempt(self, visitor: str, folder: Path, attempt: str) -> Task:
        """Puts the choice of another attempt into the queue, as it pastes the photograph together anew."""
        return self.runner.add(Task(visitor, folder, functools.partial(self.workshop.keep, folder, attempt)))

    def finished(self, visitor: str) -> list[Path]:
        """The finished results of a visitor, the last one first."""
        return [folder for folder in self.store.all(visitor, "result") if results.load(folder).is_finished]

    def go_on_from(self, visitor: str, folder: Path) -> tuple[Path, Draft]:
        """Makes a result the photograph of a new draft: the faces are where they were, and nothing is painted."""
        source = run_folders.restored(folder / results.OUTPUT, "png")
        earlier, place = results.load(folder).draft, self.store.make(visitor, "draft")
        stem = Path(earlier.name).stem.removesuffix("-repaired")
        (place / "photograph").mkdir()
        shutil.copyfile(source, place / "photograph" / f"{stem}-repaired.png")
        photo = photo_files.read_photo(source)
        views.photograph(place / "views" / "photograph.jpg", photo)
        factor = photo.shape[1] // earlier.size[0]  # a small photograph was enlarged

        def moved(points: tuple[Point, ...]) -> tuple[Point, ...]:
            return tuple((factor * (x + 0.5) - 0.5, factor * (y + 0.5) - 0.5) for x, y in points)

        draft = Draft(
            f"{stem}-repaired.png",
            (photo.shape[1], photo.shape[0]),
            faces=tuple(map(moved, earlier.faces)),
            chosen=earlier.chosen,
            eyes=moved(earlier.eyes),
            choices=dataclasses.replace(earlier.choices, damages=Choices().damages),
        )
        drafts.save(place, draft)
        return place, draft

    def cancel(self, visitor: str) -> None:
        """Ends the repairs of a visitor with what they have reached; those that wait go away."""
        for task in self.runner.of(visitor):
            if self.runner.cancel(task) and not (task.folder / RECORD).exists():
                shutil.rmtree(task.folder, ignore_errors=True)

    def clear(self, visitor: str) -> None:
        """Deletes everything of a visitor, and ends what is being worked on."""
        self.cancel(visitor)
        self.store.delete_all(visitor)


def estimates(folder: Path) -> list[str]:
    """What was estimated of the damage of each face, in words."""
    lines = []
    for file in sorted((folder / results.OUTPUT).rglob("config.json")):
        blur = json.loads(file.read_text()).get("estimated", {}).get("sigma")
        if blur is not None:
            doubt = ", but the picture does not decide" if blur["flat"] else ""
            lines.append(f"the blur spreads over {blur['pixels_of_photograph']:.1f} pixels of the photograph{doubt}")
    return list(dict.fromkeys(lines))
