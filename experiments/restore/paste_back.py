"""The whole photograph with its restored faces put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments.restore.crops import Crop, photograph_hole
from experiments.restore.jobs import Job
from experiments.runs import folder as run_folders
from jaxgan.photos import paste, photo_files, tone


def write(job: Job, faces: Sequence[tuple[Crop, Path]], resolution: int, *, say: Callable[[str], None]) -> Path:
    """Writes `restored.png` (or another format) into the folder of a photograph.

    Args:
      job: the photograph.
      faces: its faces, and the folders of their finished runs.
      resolution: of the generator.
      say: called with a line for the user.
    Returns:
      The file.
    """
    photo = photo_files.read(job.path)
    pixels = _pasted(
        photo.pixels,
        [(crop, photo_files.read_photo(run / "reconstruction.png")) for crop, run in faces],
        photograph_hole(job.damage.mask, photo.pixels.shape, resolution),
        job.damage.tasks,
    )
    path = run_folders.restored(job.folder, job.paste_format)
    notes = [*photo.notes, *photo_files.write(path, pixels, photo, job.paste_format)]
    changed = (pixels != photo.pixels).any(axis=-1).mean()
    keeps_depth = pixels.dtype == np.uint8 or job.paste_format == "png"
    others_are_equal = job.paste_format != "jpeg" and keeps_depth and not photo.notes
    same = ", the others are equal" if others_are_equal else ""
    count = f"{len(faces)} face{'s' * (len(faces) != 1)}"
    say(f"{path}: {count} put back; {changed:.1%} of the pixels differ{same}.")
    for note in [*notes, *_blurred(faces, job.damage.tasks)]:
        say(f"{job.path}: {note}.")
    return path


def _pasted(
    pixels: np.ndarray, faces: list[tuple[Crop, np.ndarray]], hole: np.ndarray | None, tasks: frozenset[str]
) -> np.ndarray:
    """Undoes each task where it was undone in the crops; a hole is filled beside the faces, too."""
    if "deblur" in tasks or not tasks:
        photo_tone = tone.find_tone(pixels, hole)
        if hole is not None:
            pixels = paste.fill_holes(pixels, hole, [], tone=photo_tone)
        matched = [
            paste.RestoredFace(_matched(crop, image, keep_colours="colorize" in tasks), crop.placement)
            for crop, image in faces
        ]
        return paste.replace_faces(pixels, matched, tone=None if "colorize" in tasks else photo_tone)
    restored = [paste.RestoredFace(image, crop.placement) for crop, image in faces]
    if "inpaint" in tasks:
        if hole is None:
            holes = [paste.hole_of_mask(crop.mask, crop.placement, pixels.shape) for crop, _ in faces]
            hole = np.logical_or.reduce(holes)
        pixels = paste.fill_holes(pixels, hole, restored, tone=tone.find_tone(pixels, hole))
    return paste.colour_faces(pixels, restored) if "colorize" in tasks else pixels


def _blurred(faces: Sequence[tuple[Crop, Path]], tasks: frozenset[str]) -> list[str]:
    """A word on faces that the photograph shows larger than the generator makes them, where they are replaced."""
    if tasks and "deblur" not in tasks:
        return []
    return [
        f"face {crop.index} is {crop.placement.size * crop.placement.pixels_per_pixel:.0f} pixels wide in the photo, "
        f"{crop.placement.size} as the network makes it: it is softer than the photo may have been"
        for crop, _ in faces
        if crop.placement.pixels_per_pixel > 2
    ]


def _matched(crop: Crop, image: np.ndarray, *, keep_colours: bool) -> np.ndarray:
    """The restored face in the photograph's brightness, and in its colours unless those were what was missing."""
    observed = crop.pixels
    if keep_colours:
        shift = (observed.astype(np.float32) - image.astype(np.float32)).mean(axis=-1)
        observed = np.clip(np.rint(image + shift[..., None]), 0, 255).astype(np.uint8)
    return paste.with_low_frequencies_of(observed, image, crop.mask)
