"""Real processes: killed runs that continue bit-identically, and a light `--help`."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "experiments.invert"]


def arguments(output: Path) -> list[str]:
    return [
        *COMMAND,
        *("--task", "colorize", "--steps", "60", "--checkpoint-seconds", "0", "--snapshot-every", "5"),
        *("--output", str(output)),
    ]


def start(*options: str, output: Path) -> subprocess.Popen:
    return subprocess.Popen([*arguments(output), *options], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def last_checkpoint(folder: Path) -> int:
    """Step of the last finished checkpoint, 0 if there is none; it may vanish while one looks, as the next appears."""
    names = [path.parent.name for path in folder.glob("latents/*/commit_success.txt")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def kill_after(process: subprocess.Popen, folder: Path, step: int) -> int:
    """Kills without warning once a checkpoint of that step or a later one is there; returns the checkpoint left."""
    deadline = time.monotonic() + 240
    while last_checkpoint(folder) < step:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -9
    return last_checkpoint(folder)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    process = start(output=folder)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return folder


@pytest.mark.slow  # on the embedded network; tests/test_processes.py kills runs on a tiny one
@pytest.mark.parametrize("kills", [1, 4])
def test_a_killed_run_ends_bit_identically(uninterrupted, tmp_path, kills):
    folder, reached = tmp_path / "run", 0
    for kill in range(kills):
        option = ("--resume",) if kill else ()
        reached, before = kill_after(start(*option, output=folder), folder, reached + 5), reached
        assert before + 5 <= reached < 60 and not (folder / "latents.npz").exists()
    process = start("--resume", output=folder)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert f"| {reached}/60 [" in stderr and "| 0/60 [" not in stderr  # the bar starts where the run was stopped
    for name in ("losses.csv", "reconstruction.png", "panel.png", "progress.gif"):
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    with np.load(folder / "latents.npz") as ours, np.load(uninterrupted / "latents.npz") as expected:
        assert ours.files == expected.files
        for name in expected.files:
            np.testing.assert_array_equal(ours[name], expected[name], strict=True)
    assert os.listdir(folder / "latents") == ["60"]  # nor are half-written checkpoints left
    assert sorted(os.listdir(folder / "snapshots")) == sorted(os.listdir(uninterrupted / "snapshots"))


def test_the_help_waits_for_no_network():
    command = [sys.executable, "-X", "importtime", *COMMAND[1:], "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "--already-aligned" in done.stdout
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "tyro" in imported and not imported & {"jax", "numpy", "torch", "dlib", "orbax", "flax", "matplotlib"}
