"""Find the faces of photographs, and cut them out as StyleGAN2's face networks expect them (the FFHQ recipe).

  python -m experiments.align me.jpg --output aligned
  python -m experiments.align group.jpg --size 128 --output aligned

Each face N, numbered from the largest, gives face-N.png, the upright square, and face-N.json, its place in the photo.
The file before_after.png shows the landmarks and the squares on the photo, beside the faces. Several photos get a
folder each inside the output folder. A photo takes about a second, or a quarter of a minute if it is large and has no
face.

Where no face is found, as in a painting, --eyes 120,84,180,90 names the centres of the eyes in pixels.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from experiments import cli, validation
from experiments.cli import Mistakes, say
from experiments.options import FaceChoice, in_group

if TYPE_CHECKING:
    import numpy as np

    from experiments.restore.faces import ChosenFace


EVERY_FACE = FaceChoice(face="all")


@dataclasses.dataclass(frozen=True)
class AlignOptions:
    """Options of `experiments.align`."""

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(help_behavior_hint="(required)")]
    """Photos, as PNG, JPEG, WebP, TIFF or HEIC files."""
    output: Path
    """Folder to write."""
    overwrite: bool = False
    """Replace the files of an earlier run."""

    size: int = 1024
    """Side of the squares in pixels."""
    scale: float = 1.0
    """Size of the squares, relative to that of FFHQ."""
    faces: Annotated[FaceChoice, in_group("photograph", "The faces of the photos.")] = EVERY_FACE


def run(options: AlignOptions) -> list[Path]:
    """Runs the command; returns the folders written.

    Raises:
      Mistakes: the options are wrong, or a folder holds faces already.
    """
    photos = options.photos
    folders = [options.output] if len(photos) == 1 else [options.output / path.stem for path in photos]
    Mistakes.check([*_problems(options), *_problems_of_folders(folders, overwrite=options.overwrite)])
    for folder, path in zip(folders, photos, strict=True):
        _align_one(options, path, folder)
    return folders


def _problems(options: AlignOptions) -> list[str]:
    problems = validation.of_faces(options.faces, photograph_count=len(options.photos), default_face="all")
    if not options.photos:
        problems.append("no photo is given; name one photo or more.")
    if not (options.size >= 1 and 0 < options.scale < math.inf):
        problems.append(f"--size {options.size} --scale {options.scale:g}: expected positive numbers.")
    return problems


def _problems_of_folders(folders: list[Path], *, overwrite: bool) -> list[str]:
    if len(set(folders)) < len(folders):
        return ["several photos have one name and would write to the same folder; rename one."]
    return [
        f"{folder} holds faces already; add --overwrite, or choose another --output."
        for folder in folders
        if (folder / "before_after.png").exists() and not overwrite
    ]


def _align_one(options: AlignOptions, path: Path, folder: Path) -> None:
    from experiments.restore import before_after
    from experiments.restore.faces import choose, quad_of, warn_if_cut
    from jaxgan import files, images
    from jaxgan.errors import UserError
    from jaxgan.photos import alignment, photo_files

    photo = photo_files.read_photo(path)
    chosen = choose(photo, path, options.faces, say)
    size = (photo.shape[1], photo.shape[0])
    quads, crops, records = [], [], []
    for face in chosen:
        quad = quad_of(face, path, options.scale)
        warn_if_cut(quad, photo, f"{path}: face {face.index}", say)
        try:
            plan = alignment.plan_alignment(quad, size, options.size)
        except ValueError as error:
            raise UserError(f"{path}: face {face.index}: {error}") from None
        crops.append(alignment.cut(photo, quad, options.size))
        quads.append(quad)
        records.append(_record(options, path, photo, face, quad, alignment.placement(plan, size, options.size)))
    folder.mkdir(parents=True, exist_ok=True)
    for stale in [*folder.glob("face-*.png"), *folder.glob("face-*.json")] if options.overwrite else ():
        stale.unlink()
    for face, crop, record in zip(chosen, crops, records, strict=True):
        images.write_png(folder / f"face-{face.index}.png", crop)
        files.write_text(folder / f"face-{face.index}.json", json.dumps(record, indent=2) + "\n")
    images.write_png(folder / "before_after.png", before_after.draw(photo, chosen, quads, crops))
    say(f"{folder}: {len(chosen)} face{'s' * (len(chosen) != 1)} of {path}")


def _record(options: AlignOptions, path: Path, photo: np.ndarray, face: ChosenFace, quad, placement) -> dict:
    """The transform and what it was made from, for face-N.json."""
    return {
        "photo": path.name,
        "photo_size": [photo.shape[1], photo.shape[0]],
        "face": face.index,
        "score": face.score,
        "box": face.box,
        "landmarks": None if face.landmarks is None else face.landmarks.tolist(),
        "points": {name: value.tolist() for name, value in face.points._asdict().items()},
        "size": options.size,
        "scale": options.scale,
        "quad": quad.quad.tolist(),
        "to_photo": placement.to_photo.tolist(),
        "about": "box, landmarks, points, quad: (x, y) in pixels of the upright photo, whose first pixel's centre is "
        "(0, 0); quad: top left, bottom left, bottom right, top right. to_photo: photo = to_photo @ (u, v, 1), with "
        "both counted from the corner of the first pixel, whose centre is (0.5, 0.5).",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(AlignOptions, run, argv, prog="python -m experiments.align", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
