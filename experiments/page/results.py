"""The folder of a repair: all that went into it, all that came out, and the command that repeats it there.

`photograph/NAME`, `mask.png` and `face-N.json` are the inputs, `repaired/` is the folder that the command writes, and
`views/` holds the small pictures for the browser.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments import command_line
from experiments.options import InvertOptions
from experiments.page import choices, drafts, found_faces
from experiments.page.choices import Choices
from experiments.page.drafts import Draft
from experiments.page.storage import RECORD
from jaxgan import files

OUTPUT = "repaired"
"""The folder that the command wrote."""
AGAIN = "repeated"
"""The folder that the command writes if it is repeated."""
STORED = {".png", ".jpg", ".jpeg", ".npz", ".gif", ".webp", ".heic"}
"""Suffixes of files that a zip makes no smaller."""
LEFT_OUT = {"latents", "snapshots", "checkpoints"}
"""Folders of a run that only serve to go on with it, or that progress.gif shows."""


@dataclasses.dataclass(frozen=True)
class Result:
    """Facts of a repair, for the page and for its repetition.

    Attributes:
      draft: as it was when the repair was asked for.
      steps: of the search, None for those of the command.
      batch_size: faces times attempts that were worked on at once.
      stop_after: the step after which it was cancelled; None if it was not.
      keep: folder of the attempt that the visitor chose; None for the nearest to the photograph.
      is_finished: whether it has ended.
      lines: of the program, about this photograph.
      attempts, doubts: names of the pictures of each attempt, and of how sure each part of a face is.
    """

    draft: Draft
    steps: int | None = None
    batch_size: int = 1
    stop_after: int | None = None
    keep: str | None = None
    is_finished: bool = False
    lines: tuple[str, ...] = ()
    attempts: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def save(folder: Path, result: Result) -> None:
    """Writes the facts of a repair."""
    files.write_text(folder / RECORD, json.dumps(dataclasses.asdict(result)))


def load(folder: Path) -> Result:
    """Reads the facts of a repair."""
    record: dict[str, Any] = json.loads((folder / RECORD).read_text())
    lists = {name: tuple(record[name]) for name in ("lines", "attempts", "doubts")}
    return Result(**record | lists | {"draft": drafts.from_record(record["draft"])})


def prepare(draft_folder: Path, draft: Draft, folder: Path) -> None:
    """Copies all that goes into a repair into its folder: later changes of the draft do not touch it.

    Raises:
      ValueError: no face is chosen, or no hole is painted.
    """
    source = drafts.photograph(draft_folder)
    found_faces.choice(draft, folder)
    (folder / "photograph").mkdir()
    try:
        os.link(source, folder / "photograph" / source.name)
    except OSError:  # a file system without links
        shutil.copyfile(source, folder / "photograph" / source.name)
    if "inpaint" in draft.choices.damages:
        hole = drafts.hole(draft_folder, draft)
        if not hole.any():
            raise ValueError("Paint over the scratches, spots or holes first: everything painted red is replaced.")
        Image.fromarray(np.where(hole, np.uint8(0), np.uint8(255))).save(folder / "mask.png")
    found_faces.write(draft, folder)


def options(result: Result, folder: Path, output: Path) -> InvertOptions:
    """The options of the command that makes a result.

    Args:
      result: its facts.
      folder: holds what goes into it; "." for a command that runs inside of it.
      output: folder to write.
    """
    draft = result.draft
    return choices.options_of(
        draft.choices,
        folder / "photograph" / draft.name,
        mask=folder / "mask.png" if "inpaint" in draft.choices.damages else None,
        faces=found_faces.choice(draft, folder),
        output=output,
        steps=result.steps,
        batch_size=result.batch_size,
        stop_after=result.stop_after,
        keep=result.keep,
    )


def command(result: Result) -> str:
    """The command line that repeats a result inside of its folder."""
    return command_line.invert(options(result, Path("."), Path(AGAIN)))


def kept_attempt(folder: Path) -> str | None:
    """The folder of the attempt whose result is taken; None where there was one only."""
    records = [json.loads(file.read_text()) for file in (folder / OUTPUT).rglob("config.json")]
    return next((record["kept"] for record in records if "kept" in record), None)


def settings(chosen: Choices) -> dict[str, Any]:
    """What the visitor chose, in the words of the page."""
    return dataclasses.asdict(chosen) | {"damages": [choices.DAMAGES[name] for name in chosen.damages]}


def download(folder: Path) -> Path:
    """Writes the zip of a finished repair.

    Returns:
      `download.zip` in its folder: a single folder with the repaired photograph, the photograph under its own name, the
      mask, the faces, everything that the command wrote, and the command that repeats it.
    """
    result, target = load(folder), folder / "download.zip"
    root = f"{Path(result.draft.name).stem}-repaired"
    inputs = [*folder.glob("photograph/*"), *folder.glob("mask.png"), *folder.glob("face-*.json")]
    outputs = [
        file for file in sorted((folder / OUTPUT).rglob("*")) if file.is_file() and not _is_left_out(file, folder)
    ]
    texts = {
        "README.txt": _ABOUT.format(name=result.draft.name, command=command(result), again=AGAIN, output=OUTPUT),
        "command.txt": command(result) + "\n",
        "settings.json": json.dumps(settings(result.draft.choices), indent=2) + "\n",
    }
    with files.replacing(target) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(f"{root}/{name}", text)
        for file in [*inputs, *outputs]:
            inside = file.relative_to(folder)
            kind = zipfile.ZIP_STORED if file.suffix.lower() in STORED else zipfile.ZIP_DEFLATED
            archive.write(
                file,
                f"{root}/{file.name if inside.parent == Path(OUTPUT) and file.stem == 'restored' else inside}",
                kind,
            )
    return target


def _is_left_out(file: Path, folder: Path) -> bool:
    parts = file.relative_to(folder).parts[:-1]
    return bool(LEFT_OUT & set(parts)) or file.name.startswith(".")


_ABOUT = """\
restored.png            the repaired photograph
photograph/{name}
                        the photograph as it was given
mask.png                if there were holes: black where something was filled in
{output}/               how it was made: the faces, their latents, the settings

To make it again, to the last bit, open a terminal in this folder, with jaxgan installed, on the same kind of machine:

{command}

It writes {again}/restored.png.
"""
