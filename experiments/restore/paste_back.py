"""The whole photograph with its restored faces put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.restore.crops import Crop, photograph_hole
from jaxgan.photos import paste, photo_files, tone

if TYPE_CHECKING:
    from experiments.invert import Config


def write(
    folder: Path,
    path: Path,
    restored: Sequence[tuple[Crop, Path]],
    config: Config,
    resolution: int,
    *,
    say: Callable[[str], None],
) -> Path:
    """Writes `restored.png` (or another format) into a folder.

    Args:
      folder: of the photograph.
      path: the photograph.
      restored: its faces, and the folders of their finished runs.
      config: the command's options.
      resolution: of the generator.
      say: called with a line for the user.
    Returns:
      The file.
    """
    photo = photo_files.read(path)
    pixels = _pasted(
        photo.pixels,
        [(crop, photo_files.read_photo(run / "reconstruction.png")) for crop, run in restored],
        photograph_hole(config, photo.pixels.shape, resolution),
        config.tasks,
    )
    target = folder / f"restored{photo_files.SUFFIXES[config.paste_format]}"
    notes = [*photo.notes, *photo_files.write(target, pixels, photo, config.paste_format)]
    changed = (pixels != photo.pixels).any(axis=-1).mean()
    same = "" if config.paste_format == "jpeg" or any("bits" in note for note in notes) else ", the others are equal"
    count = f"{len(restored)} face{'s' * (len(restored) != 1)}"
    say(f"{target}: {count} put back; {changed:.1%} of the pixels differ{same}.")
    for note in [*notes, *_blurred(restored, config.tasks)]:
        say(f"{path}: {note}.")
    return target


def _pasted(
    pixels: np.ndarray, faces: list[tuple[Crop, np.ndarray]], hole: np.ndarray | None, tasks: frozenset[str]
) -> np.ndarray:
    """Undoes each task where it was undone in the crops; a hole is filled beside the faces, too."""
    photo_tone = tone.find_tone(pixels, hole)
    if "deblur" in tasks or not tasks:
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
        pixels = paste.fill_holes(pixels, hole, restored, tone=photo_tone)
    return paste.colour_faces(pixels, restored) if "colorize" in tasks else pixels


def _blurred(restored: Sequence[tuple[Crop, Path]], tasks: frozenset[str]) -> list[str]:
    """A word on faces that the photograph shows larger than the generator makes them, where they are replaced."""
    if tasks and "deblur" not in tasks:
        return []
    return [
        f"face {crop.index} is {crop.placement.size * crop.placement.pixels_per_pixel:.0f} pixels wide in the photo, "
        f"{crop.placement.size} as the network makes it: it is softer than the photo may have been"
        for crop, _ in restored
        if crop.placement.pixels_per_pixel > 2
    ]


def _matched(crop: Crop, image: np.ndarray, *, keep_colours: bool) -> np.ndarray:
    """The restored face in the photograph's brightness, and in its colours unless those were what was missing."""
    observed = crop.target
    if keep_colours:
        shift = (observed.astype(np.float32) - image.astype(np.float32)).mean(axis=-1)
        observed = np.clip(np.rint(image + shift[..., None]), 0, 255).astype(np.uint8)
    return paste.with_low_frequencies_of(observed, image, crop.mask)
