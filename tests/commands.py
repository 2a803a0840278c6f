"""Calls of the command `experiments.invert`, and ways to look at the folders that it leaves."""

import contextlib
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.invert import main

PROG = "python -m experiments.invert"
QUICK = ("--steps", "6", "--snapshot-every", "3", "--already-aligned")
"""Two chunks of three steps on square crops."""
RESULTS = ("losses.csv", "restoration.png", "reconstruction.png", "panel.png", "progress.gif", "latents.npz")
"""Files of a run that are equal to the last bit if the run is repeated."""
FILES = {*RESULTS, "config.json", "truth.png", "observed.png", "latents", "loss.png", "snapshots"}
"""All files of a finished run."""


def call(*arguments) -> tuple[int, str]:
    """Exit code and stderr."""
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        code = main([str(argument) for argument in arguments])
    return code, stderr.getvalue()


def succeed(*arguments) -> str:
    """Stderr of a command that ends well."""
    code, stderr = call(*arguments)
    assert code == 0, stderr
    return stderr


def refused(*arguments) -> str:
    """The only line of a command that is refused."""
    code, stderr = call(*arguments)
    assert code == 2 and stderr.startswith(f"{PROG}: error: ") and stderr.count("\n") == 1, stderr
    return stderr.removeprefix(f"{PROG}: error: ").rstrip("\n")


def last_line(stderr: str) -> str:
    return stderr.replace("\r", "\n").splitlines()[-1]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB", path
        return np.asarray(image)


def record(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_same(folder: Path, expected: Path) -> None:
    for name in RESULTS:
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), (folder, name)


def events(root: Path, name: str = "manifest.jsonl") -> list[dict]:
    return [json.loads(line) for line in (root / name).read_text().splitlines()]


def finished_lines(root: Path, name: str = "manifest.jsonl") -> Counter:
    return Counter(line["item"] for line in events(root, name) if line.get("state") == "finished")
