"""Runs of one photograph that stop on the way: killed, interrupted, on a full disk, with a loss that is no number."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from commands import PROG, QUICK, assert_same, call, contents, last_line, record, succeed

from experiments.restore import crops, finish
from experiments.runs import report
from jaxgan import images, optimization
from jaxgan.batch import Batch
from jaxgan.photos import photo_files

pytestmark = pytest.mark.usefixtures("narrow_lpips")


@pytest.fixture(scope="module")
def arguments(tmp_path_factory, tiny_network):
    """`arguments(output)` of a command that inpaints a face crop."""
    crop = tmp_path_factory.mktemp("crop") / "crop.png"
    images.write_png(crop, images.resize(photo_files.read_photo(photo_files.sample_photo_path())[40:240, 120:320], 16))
    options = ("--task", "inpaint", *QUICK, "--model", tiny_network, "--image", crop, "--output")
    return lambda output: (*options, output)


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory) -> Path:
    """A run that was not stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    succeed(*arguments(folder))
    return folder


@pytest.fixture
def unfinished(whole, tmp_path) -> Path:
    """A copy that looks as if the run had been killed while it wrote its report."""
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "config.json").write_text(json.dumps(record(folder) | {"finished": None, "result": None}))
    (folder / "reconstruction.png").unlink()
    return folder


def test_a_run_killed_in_its_report_is_finished_from_its_checkpoint(whole, unfinished, arguments):
    succeed(*arguments(unfinished), "--resume")
    assert_same(unfinished, whole)
    assert record(unfinished)["result"] == record(whole)["result"]


def test_a_half_written_checkpoint_is_passed_over_and_removed(whole, unfinished, arguments):
    """A kill in the middle of a save leaves one: the next run takes the last whole one."""
    partial = shutil.copytree(unfinished / "latents" / "6", unfinished / "latents" / "9.orbax-checkpoint-tmp")
    (partial / "commit_success.txt").unlink(missing_ok=True)  # Orbax 0.11 writes none
    succeed(*arguments(unfinished), "--resume")
    assert_same(unfinished, whole)
    assert os.listdir(unfinished / "latents") == ["6"]


def _spoil(tree: dict) -> None:
    tree["state.best.w"][0, 3] = np.nan


def _shorten(tree: dict) -> None:
    tree["losses.total"] = tree["losses.total"][:2]


def _drop(tree: dict) -> None:
    del tree["state.optimizer.nu.w"]


@pytest.mark.parametrize(
    ("change", "named"), [(_spoil, "state.best.w"), (_shorten, "losses.total"), (_drop, "state.optimizer.nu.w")]
)
def test_damaged_checkpoints_are_told(unfinished, arguments, change, named):
    with ocp.CheckpointManager((unfinished / "latents").absolute()) as manager:
        tree = jax.tree.map(np.array, manager.restore(6, args=ocp.args.StandardRestore()))
        change(tree)
        manager.delete(6)
        manager.save(6, args=ocp.args.StandardSave(tree))
    before = contents(unfinished)
    code, stderr = call(*arguments(unfinished), "--resume")
    assert code == 2 and stderr.count("\n") == 1
    assert f"latents: {named} missing, misshapen or NaN; start again with --overwrite." in stderr
    assert contents(unfinished) == before


def test_unreadable_checkpoints_are_told(unfinished, arguments):
    for path in (unfinished / "latents" / "6" / "default").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:10])
    code, stderr = call(*arguments(unfinished), "--resume")
    assert code == 2 and stderr.count("\n") == 1 and "Traceback" not in stderr
    assert re.search("latents cannot be read: .*; start again with --overwrite", stderr)


def test_a_full_disk_is_told_and_the_run_can_go_on(whole, arguments, tmp_path, monkeypatch):
    def fail(path, pictures):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(images, "write_gif", fail)
        code, stderr = call(*arguments(tmp_path / "out"))
    assert code == 2 and "Traceback" not in stderr
    assert last_line(stderr) == (
        f"{PROG}: error: {tmp_path}/out: No space left on device; make room or give access, "
        "then repeat the command with --resume."
    )
    succeed(*arguments(tmp_path / "out"), "--resume")
    assert_same(tmp_path / "out", whole)


@pytest.fixture
def tiny_disk(tmp_path):
    """An empty file system of 20 kB; `tiny_disk(size)` enlarges it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a file system: {mounted.stderr.strip()}")
    yield disk, lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full(whole, arguments, tiny_disk):
    disk, enlarge = tiny_disk
    code, stderr = call(*arguments(disk / "out"), "--checkpoint-seconds", 0)
    assert code == 2 and "Traceback" not in stderr
    assert f"error: {disk}/out: No space left on device" in last_line(stderr) and "--resume" in last_line(stderr)
    enlarge("8m")
    succeed(*arguments(disk / "out"), "--resume")
    assert_same(disk / "out", whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_loop_saves_the_state_and_says_how_to_go_on(
    whole, arguments, tmp_path, monkeypatch, number
):
    advance = Batch.advance

    def interrupt(self, chunk_steps):
        os.kill(os.getpid(), number)
        return advance(self, chunk_steps)

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "advance", interrupt)
        code, stderr = call(*arguments(tmp_path / "out"))
    assert code == 130
    said = f"{PROG}: interrupted. To go on with {tmp_path}/out, repeat the command with --resume."
    assert last_line(stderr) == said
    assert os.listdir(tmp_path / "out" / "latents") == ["3"]
    stderr = succeed(*arguments(tmp_path / "out"), "--resume")
    assert "| 3/6 [" in stderr and "| 0/6 [" not in stderr
    assert_same(tmp_path / "out", whole)


def test_a_signal_while_pictures_are_written_waits_for_them(whole, arguments, tmp_path, monkeypatch):
    write = report.write

    def interrupt(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return write(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(report, "write", interrupt)
        code, stderr = call(*arguments(tmp_path / "out"))
    assert code == 130 and "To go on with" in last_line(stderr)
    assert record(tmp_path / "out")["finished"]
    assert_same(tmp_path / "out", whole)
    assert "is finished already" in succeed(*arguments(tmp_path / "out"), "--resume")


def test_a_signal_after_the_loop_says_how_to_go_on(whole, arguments, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(finish.paste_back, "write", interrupt)
        code, stderr = call(*arguments(tmp_path / "out"), "--paste-back")
    assert code == 130 and f"To go on with {tmp_path}/out, repeat the command with --resume." in last_line(stderr)
    succeed(*arguments(tmp_path / "out"), "--paste-back", "--resume")
    assert (tmp_path / "out" / "restored.png").exists()
    assert_same(tmp_path / "out", whole)


def test_a_signal_before_the_loop_leaves_nothing(arguments, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(crops, "load", interrupt)
    code, stderr = call(*arguments(tmp_path / "out"))
    assert code == 130 and stderr == f"{PROG}: interrupted.\n"
    assert not (tmp_path / "out").exists()


def test_a_loss_that_is_not_finite_is_told(arguments, tmp_path, monkeypatch):
    start = optimization.initial_state

    def start_broken(*arguments):
        state = start(*arguments)
        return state._replace(latents=state.latents._replace(w=state.latents.w * jnp.nan))

    monkeypatch.setattr(optimization, "initial_state", start_broken)
    code, stderr = call(*arguments(tmp_path / "out"))
    assert code == 2 and "Traceback" not in stderr
    assert f"error: {tmp_path}/out: the loss is nan at step 0; lower the learning rate" in last_line(stderr)
    assert last_line(stderr).endswith("Start again with --overwrite.")
