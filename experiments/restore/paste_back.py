"""The whole photograph with its restored faces put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.restore import uncertainty_map
from experiments.restore.crops import Crop, photograph_hole
from experiments.restore.jobs import Job
from experiments.runs import folder as run_folders
from jaxgan import tension
from jaxgan.photos import jpeg_files, paste, photo_files, tone
from jaxgan.photos.alignment import Placement
from jaxgan.photos.photo_files import PhotoFile

REPLACED = {"deblur", "upsample", "denoise", "dejpeg", "own"}
"""Tasks after which the whole face is another."""

MOST_PIXELS = 50_000_000
"""Of a photograph that is enlarged."""


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
    hole = photograph_hole(job.damage, photo.pixels.shape, resolution)
    factor = _enlargement([crop.factor for crop, _ in faces], photo.pixels.shape)
    if factor > 1:
        photo, hole = _enlarged(photo, factor), None if hole is None else hole.repeat(factor, 0).repeat(factor, 1)
        faces = [(crop._replace(placement=_scaled(crop.placement, factor)), run) for crop, run in faces]
    if job.damage.tasks == {"dejpeg"} and job.damage.already_degraded:
        found = [(photo_files.read(run / "reconstruction.png").pixels, crop.placement) for crop, run in faces]
        compression = jpeg_files.read_compression(job.path)
        pixels = paste.replace_coded_faces(photo.pixels, [paste.RestoredFace(*face) for face in found], compression)
    else:
        pixels = _pasted(
            photo.pixels,
            [crop for crop, _ in faces],
            [paste.RestoredFace(_image(crop, run, job.damage.tasks), crop.placement) for crop, run in faces],
            hole,
            job.damage.tasks,
        )
    if job.uncertainty is not None:
        shown = job.folder / "restored_uncertainty.png"
        fills = "inpaint" in job.damage.tasks and not job.damage.tasks & REPLACED
        uncertainty_map.write_photograph(
            shown,
            photo_files.to_8_bits(photo._replace(pixels=pixels)),
            faces,
            _hole(hole, [crop for crop, _ in faces], pixels.shape) if fills else None,
            only_hole=job.damage.tasks == {"inpaint"},
        )
        say(f"{shown}: where the results of the faces differ, laid over the photograph.")
    path = run_folders.restored(job.folder, job.paste_format)
    notes = [*photo.notes, *photo_files.write(path, pixels, photo, job.paste_format)]
    changed = (pixels != photo.pixels).any(axis=-1).mean()
    keeps_depth = pixels.dtype == np.uint8 or job.paste_format == "png"
    others_are_equal = factor == 1 and job.paste_format != "jpeg" and keeps_depth and not photo.notes
    same = ", the others are the photograph's own" if others_are_equal else ""
    count = f"{len(faces)} face{'s' * (len(faces) != 1)}"
    enlarged = f" into the photograph, {factor} times as large" if factor > 1 else ""
    say(f"{path}: {count} put back{enlarged}; {changed:.1%} of the pixels are new{same}.")
    if hole is not None and not tension.is_solved(hole):
        notes.append("its largest holes, and those far from the faces, are filled by a membrane instead of a spline")
    if "colorize" in job.damage.tasks:
        notes.append("only the faces have colours, which fade out towards the borders of their squares")
    for note in [*notes, *_blurred(faces, job.damage.tasks)]:
        say(f"{job.path}: {note}.")
    return path


def _enlargement(factors: list[int], shape: tuple[int, ...]) -> int:
    """The largest factor of a face, halved until the photograph has no more than `MOST_PIXELS`."""
    factor = max(factors, default=1)
    while factor > 1 and factor**2 * shape[0] * shape[1] > MOST_PIXELS:
        factor //= 2
    return factor


def _enlarged(photo: PhotoFile, factor: int) -> PhotoFile:
    """A photograph enlarged by Lanczos, in 8 bits."""

    def large(values: np.ndarray) -> np.ndarray:
        size = (values.shape[1] * factor, values.shape[0] * factor)
        return np.array(Image.fromarray(values).resize(size, Image.Resampling.LANCZOS))

    return photo._replace(pixels=large(photo_files.to_8_bits(photo)), alpha=None)


def _scaled(placement: Placement, factor: int) -> Placement:
    return placement._replace(to_photo=placement.to_photo * factor)


def _image(crop: Crop, run: Path, tasks: frozenset[str]) -> np.ndarray:
    """The image of a face that the photograph needs.

    Of a face that is replaced as a whole this is the restoration; where holes are filled or colours added, the
    photograph itself is completed by the reconstruction; and where a face is replaced without need, it gets the
    photograph's light.
    """
    name = "restoration.png" if tasks & REPLACED and (run / "restoration.png").exists() else "reconstruction.png"
    path = run / f"tuned_{name}" if (run / f"tuned_{name}").exists() else run / name
    image = photo_files.read(path).pixels  # alpha, which a network may have made, left aside
    return image if tasks else paste.with_low_frequencies_of(crop.pixels, image)


def _pasted(
    pixels: np.ndarray,
    crops: list[Crop],
    faces: list[paste.RestoredFace],
    hole: np.ndarray | None,
    tasks: frozenset[str],
) -> np.ndarray:
    """Undoes each task where it was undone in the crops; a hole is filled beside the faces, too."""
    if tasks & REPLACED or not tasks:
        photo_tone = tone.find_tone(pixels, hole)
        if hole is not None:
            pixels = paste.fill_holes(pixels, hole, [], tone=photo_tone)
        return paste.replace_faces(pixels, faces, tone=None if "colorize" in tasks else photo_tone)
    if "inpaint" in tasks:
        hole = _hole(hole, crops, pixels.shape)
        pixels = paste.fill_holes(pixels, hole, faces, tone=tone.find_tone(pixels, hole))
    return paste.colour_faces(pixels, faces) if "colorize" in tasks else pixels


def _hole(hole: np.ndarray | None, crops: Sequence[Crop], shape: tuple[int, ...]) -> np.ndarray:
    """What is missing of a photograph: a hole of its own size, or else what the masks of its faces hide."""
    if hole is not None:
        return hole
    return np.logical_or.reduce([paste.hole_of_mask(crop.mask, crop.placement, shape) for crop in crops])


def _blurred(faces: Sequence[tuple[Crop, Path]], tasks: frozenset[str]) -> list[str]:
    """A word on faces that the photograph shows larger than the generator makes them, where they are replaced."""
    if tasks and not tasks & REPLACED:
        return []
    sizes = [(crop.index, crop.placement.size, crop.placement.pixels_per_pixel) for crop, _ in faces]
    return [
        f"face {index} is {size * factor:.0f} pixels wide in the photo, {size} as the network makes it: it stays as "
        "soft as the network"
        for index, size, factor in sizes
        if factor > 1
    ]
