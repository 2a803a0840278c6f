"""Find the faces of photographs and cut them out as StyleGAN2's face networks expect them (the FFHQ recipe).

  python -m experiments.align me.jpg --output aligned
  python -m experiments.align group.jpg --size 64 --scale 0.74 --output aligned

For each face N, numbered from the largest: face-N.png, the upright square, and face-N.json, where it lies in the photo.
before_after.png shows the landmarks and the squares on the photo, beside what was cut out. Several photos get a folder
each inside the output folder. A photo takes about a second; 14 if it has 12 million pixels and no face.

A face that is not found, in a painting say, can be pointed at: --eyes 120,84,180,90 are the centres of its eyes.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from experiments import cli

if TYPE_CHECKING:
    import numpy as np

    from experiments.restore.faces import ChosenFace


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of `experiments.align`."""

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """PNG, JPEG, WebP, TIFF or HEIC files."""
    output: Path
    """Folder to write."""
    overwrite: bool = False
    """Replace the files of an earlier run."""

    size: int = 1024
    """Side of the squares in pixels."""
    scale: float = 1.0
    """Size of the squares relative to FFHQ's; the demo network was trained on 0.74."""
    face: int | Literal["all", "largest"] = "all"
    """Which faces to cut out; a number counts from 0, the largest."""
    landmarks: tuple[Path, ...] = ()
    """Where the faces are: a file for each, the JSON of an earlier run or 68 lines of x and y (dlib's points)."""
    eyes: tuple[str, ...] = ()
    """Where the faces are: x1,y1,x2,y2 for each, the centres of both eyes in pixels."""
    landmarks_model: Path | None = None
    """dlib's 68-point landmark model. Default: that of the package face_recognition_models."""


def run(config: Config) -> list[Path]:
    """Runs the command; returns the folders written."""
    from experiments.restore import faces as face_options
    from jaxgan.errors import UserError

    if not config.photos:
        raise UserError("name one photo or more.")
    if not (config.size >= 1 and 0 < config.scale < float("inf")):
        raise UserError(f"--size {config.size} --scale {config.scale:g}: expected positive numbers.")
    options = dataclasses.replace(config, face=None) if config.face == "all" and _are_given(config) else config
    face_options.check(options, len(config.photos))
    folders = [config.output] if len(config.photos) == 1 else [config.output / path.stem for path in config.photos]
    if len(set(folders)) < len(folders):
        raise UserError("several photos have one name and would write to the same folder; rename one.")
    for folder in folders:
        if (folder / "before_after.png").exists() and not config.overwrite:
            raise UserError(f"{folder} holds faces already; add --overwrite, or choose another --output.")
    for folder, path in zip(folders, config.photos, strict=True):
        _align_one(options, path, folder)
    return folders


def _are_given(config: Config) -> bool:
    return bool(config.landmarks or config.eyes)


def _align_one(config: Config, path: Path, folder: Path) -> None:
    from experiments.restore import faces as face_options
    from experiments.runs import before_after
    from jaxgan import images
    from jaxgan.errors import UserError
    from jaxgan.photos import alignment, photo_files

    photo = photo_files.read_photo(path)
    chosen = face_options.choose(photo, path, config, _say)
    size = (photo.shape[1], photo.shape[0])
    quads, crops, records = [], [], []
    for face in chosen:
        quad = face_options.quad_of(face, path, config.scale)
        face_options.warn_if_cut(quad, photo, f"{path}: face {face.index}", _say)
        try:
            plan = alignment.plan_alignment(quad, size, config.size)
        except ValueError as error:
            raise UserError(f"{path}: face {face.index}: {error}") from None
        crops.append(alignment.cut(photo, quad, config.size))
        quads.append(quad)
        records.append(_record(config, path, photo, face, quad, alignment.placement(plan, size, config.size)))
    folder.mkdir(parents=True, exist_ok=True)
    for stale in [*folder.glob("face-*.png"), *folder.glob("face-*.json")] if config.overwrite else ():
        stale.unlink()
    for face, crop, record in zip(chosen, crops, records, strict=True):
        images.write_png(folder / f"face-{face.index}.png", crop)
        (folder / f"face-{face.index}.json").write_text(json.dumps(record, indent=2) + "\n")
    images.write_png(folder / "before_after.png", before_after.draw(photo, chosen, quads, crops))
    _say(f"{folder}: {len(chosen)} face{'s' * (len(chosen) != 1)} of {path}")


def _record(config: Config, path: Path, photo: np.ndarray, face: ChosenFace, quad, placement) -> dict:
    """The transform and what it was made from, for face-N.json."""
    return {
        "photo": path.name,
        "photo_size": [photo.shape[1], photo.shape[0]],
        "face": face.index,
        "score": face.score,
        "box": face.box,
        "landmarks": None if face.landmarks is None else face.landmarks.tolist(),
        "points": {name: value.tolist() for name, value in face.points._asdict().items()},
        "size": config.size,
        "scale": config.scale,
        "quad": quad.quad.tolist(),
        "to_photo": placement.to_photo.tolist(),
        "about": "box, landmarks, points, quad: (x, y) in pixels of the upright photo, whose first pixel's centre is "
        "(0, 0); quad: top left, bottom left, bottom right, top right. to_photo: photo = to_photo @ (u, v, 1), with "
        "both counted from the corner of the first pixel, whose centre is (0.5, 0.5).",
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(Config, run, argv, prog="python -m experiments.align", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
