"""Many photographs in one command: folders, manifest, contact sheet; what fails, what is interrupted, what goes on.

All runs are of the random network and have 6 steps in 2 chunks, in batches of two unless told otherwise. At 16 pixels a
face's place in the batch changes its rounding, so faces are compared to the last bit where they keep their places.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest
from commands import PROG, QUICK, assert_same, call, contents, events, finished_lines, last_line, refused, succeed
from PIL import Image

from experiments.restore import crops
from experiments.runs import settings as run_settings
from jaxgan import images, optimization
from jaxgan.batch import Batch
from jaxgan.photos import photo_files

pytestmark = pytest.mark.usefixtures("narrow_lpips")


@pytest.fixture(scope="module")
def faces(crops, tmp_path_factory) -> Path:
    """A folder of five pictures, each a face to the program."""
    folder = tmp_path_factory.mktemp("faces")
    for index, picture in enumerate(crops[:5]):
        images.write_png(folder / f"face{index}.png", images.resize(picture, 16))
    return folder


@pytest.fixture(scope="module")
def inpaint(tiny_network) -> tuple:
    """The command without photographs and output folder."""
    return ("--task", "inpaint", *QUICK, "--model", tiny_network, "--batch-size", 2)


@pytest.fixture(scope="module")
def whole(faces, inpaint, tmp_path_factory) -> Path:
    """All faces."""
    root = tmp_path_factory.mktemp("whole") / "out"
    succeed(*inpaint, "--image", faces, "--output", root)
    return root


def states(root: Path) -> dict[str, str]:
    return {line["item"]: line["state"] for line in events(root) if "item" in line}


# Folders and records.


def test_a_folder_of_photographs(whole):
    assert {path.name for path in whole.iterdir()} == {
        *(f"face{index}" for index in range(5)),
        *("manifest.jsonl", "contact_sheet.png"),
    }
    assert finished_lines(whole) == {f"face{index}": 1 for index in range(5)}
    header, *rest = events(whole)
    assert header["settings"]["batch_size"] == 2 and header["settings"]["damage"]["task"] == "inpaint"
    last = [line for line in rest if line["state"] == "finished"][-1]
    assert last["image"].endswith(".png") and np.isfinite(last["result"]["restoration"]["against_truth"]["lpips"])
    with Image.open(whole / "contact_sheet.png") as sheet:
        assert sheet.size == (3 * (4 * 96 + 8) - 8, 2 * (96 + 16) + 8)
        tile = np.asarray(sheet)[16:112, 384 + 8 : 384 + 8 + 96]
    truth = photo_files.read_photo(whole / "face1" / "truth.png")
    expected = Image.fromarray(truth).resize((96, 96), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(tile, np.asarray(expected))


def test_an_item_alone_equals_the_item_in_a_batch(whole, faces, inpaint, tmp_path):
    """To the last bit at the same batch size, whatever the order and the company."""
    order = [faces / f"face{index}.png" for index in (4, 1)]
    options = (*inpaint, "--image")
    succeed(*options, *order, "--output", tmp_path / "two")
    for name in ("face4", "face1"):
        assert_same(tmp_path / "two" / name, whole / name)
    succeed(*options, order[0], "--output", tmp_path / "one")  # with one file, the folder itself
    assert_same(tmp_path / "one", whole / "face4")


def test_another_batch_size_changes_rounding_only(whole, faces, inpaint, tmp_path):
    """Seen after 6 steps: 4e-6 of the loss, 3e-4 of the latents."""
    options = (*inpaint, "--batch-size", 1, "--image", faces / "face3.png")
    succeed(*options, "--output", tmp_path / "one")
    ours, expected = (
        np.loadtxt(path / "losses.csv", delimiter=",", skiprows=1) for path in (tmp_path / "one", whole / "face3")
    )
    np.testing.assert_allclose(ours[:, 1], expected[:, 1], rtol=1e-3)
    with np.load(tmp_path / "one" / "latents.npz") as a, np.load(whole / "face3" / "latents.npz") as b:
        assert np.linalg.norm(a["ws"] - b["ws"]) < 1e-2 * np.linalg.norm(b["ws"])


def test_new_photographs_join_a_finished_folder(whole, faces, inpaint, tmp_path):
    root, photos = shutil.copytree(whole, tmp_path / "out"), shutil.copytree(faces, tmp_path / "faces")
    shutil.rmtree(root / "face4")
    (root / "contact_sheet.png").unlink()
    text = (root / "manifest.jsonl").read_text().splitlines(keepends=True)
    (root / "manifest.jsonl").write_text("".join(line for line in text if '"face4"' not in line) + '{"item": "fa')
    before = {path: path.stat().st_mtime_ns for path in root.glob("face*/*")}
    options = (*inpaint, "--image", faces, "--output", root)
    code, stderr = call(*options)
    assert code == 2 and "holds another run; add --resume to continue it" in stderr
    stderr = succeed(*options, "--resume")
    assert "4 of 5 photographs are finished already." in stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert_same(root / "face4", whole / "face4")
    assert (root / "contact_sheet.png").read_bytes() == (whole / "contact_sheet.png").read_bytes()
    assert finished_lines(root) == {f"face{index}": 1 for index in range(5)}
    code, stderr = call(*options, "--batch-size", 4, "--resume")
    assert code == 2 and "manifest.jsonl was started with other settings (batch_size: 2 then, 4 now)" in stderr
    assert photos.exists()


# Failures.


def test_an_unreadable_photograph_does_not_stop_the_others(whole, faces, inpaint, tmp_path):
    photos = shutil.copytree(faces, tmp_path / "faces")
    (photos / "face4.png").write_bytes((photos / "face4.png").read_bytes()[:100])
    images.write_png(photos / "face5.png", np.zeros((20, 40, 3), np.uint8))
    options = (*inpaint, "--image", photos, "--output", tmp_path / "out")
    code, stderr = call(*options)
    assert code == 1 and "Traceback" not in stderr
    lines = stderr.splitlines()
    assert f"{PROG}: 2 of 6 photographs failed:" in lines
    assert re.search(r"face4.png: .*damaged", lines[-2]) and "expects a square face crop" in lines[-1]
    assert states(tmp_path / "out")["face4"] == "failed" and not (tmp_path / "out" / "face4").exists()
    for index in (0, 1, 2, 3):
        assert_same(tmp_path / "out" / f"face{index}", whole / f"face{index}")
    shutil.copy(faces / "face4.png", photos)  # mended
    (photos / "face5.png").unlink()
    succeed(*options, "--resume")
    assert_same(tmp_path / "out" / "face4", whole / "face4")
    assert states(tmp_path / "out")["face4"] == "finished"


def test_a_loss_that_is_not_finite_fails_its_photograph_only(whole, faces, inpaint, tmp_path, monkeypatch):
    start = optimization.initial_state

    def start_broken(generator, w, config, key):
        state = start(generator, w, config, key)
        broken = jax.random.key_data(key).tolist() == bad
        return state._replace(latents=state.latents._replace(w=state.latents.w * np.nan)) if broken else state

    bad = jax.random.key_data(run_settings.key_for(0, Path("face3.png"))).tolist()
    monkeypatch.setattr(optimization, "initial_state", start_broken)
    options = (*inpaint, "--image", faces, "--output", tmp_path / "out")
    code, stderr = call(*options)
    assert code == 1 and "face3: the loss is nan at step 0" in stderr.splitlines()[-1]
    assert finished_lines(tmp_path / "out") == {f"face{index}": 1 for index in (0, 1, 2, 4)}
    for index in (0, 1, 2):  # its neighbour in the batch among them
        assert_same(tmp_path / "out" / f"face{index}", whole / f"face{index}")


def test_a_batch_too_large_is_halved(whole, faces, inpaint, tmp_path, monkeypatch):
    advance = Batch.advance
    chunks = []

    def run_out_of_memory(self, chunk_steps):
        chunks.append(self.size)
        if self.size == 2 and len(chunks) == 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        return advance(self, chunk_steps)

    monkeypatch.setattr(Batch, "advance", run_out_of_memory)
    options = (*inpaint, "--image", faces, "--output", tmp_path / "out")
    stderr = succeed(*options)
    assert "a batch of 2 does not fit into memory; going on with 1." in stderr
    assert chunks == [2, 2] + [1] * 8  # the second half of two faces, then the other three
    assert finished_lines(tmp_path / "out") == {f"face{index}": 1 for index in range(5)}
    ours, expected = (
        np.loadtxt(path / "face0" / "losses.csv", delimiter=",", skiprows=1) for path in (tmp_path / "out", whole)
    )
    np.testing.assert_allclose(ours[:, 1], expected[:, 1], rtol=1e-3)


@pytest.fixture
def tiny_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # the logs of the command may still be open


def test_a_full_disk_stops_the_run_and_nothing_is_lost(faces, inpaint, tiny_disk):
    options = (*inpaint, "--image", faces, "--output", tiny_disk / "out")
    code, stderr = call(*options)
    assert code == 2 and "Traceback" not in stderr
    last = stderr.splitlines()[-1]
    assert re.search(
        "No space left on device.*; make room or give access, then repeat the command with --resume.", last
    )
    subprocess.run(["mount", "-o", "remount,size=40m", str(tiny_disk)], check=True)
    succeed(*options, "--resume")
    assert finished_lines(tiny_disk / "out") == {f"face{index}": 1 for index in range(5)}


def test_a_signal_between_photographs_says_how_to_go_on(faces, inpaint, tmp_path, monkeypatch):
    load = crops.load

    def interrupt(job, *arguments, **options):
        if job.name == "face3":
            os.kill(os.getpid(), signal.SIGTERM)
        return load(job, *arguments, **options)

    options = (*inpaint, "--image", faces, "--output", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(crops, "load", interrupt)
        code, stderr = call(*options)
    said = f"{PROG}: interrupted. To go on with {tmp_path}/out, repeat the command with --resume."
    assert (code, last_line(stderr)) == (130, said)
    succeed(*options, "--resume")
    assert finished_lines(tmp_path / "out") == {f"face{index}": 1 for index in range(5)}


# Folders of earlier runs.


def test_a_finished_folder_has_nothing_left_to_do(whole, faces, inpaint):
    before = contents(whole)
    stderr = succeed(*inpaint, "--image", faces, "--output", whole, "--resume")
    assert stderr == f"{whole}: all 5 photographs are finished already; there is nothing left to do.\n"
    assert contents(whole) == before


def test_only_runs_of_photographs_that_can_be_read_are_replaced(whole, faces, inpaint, tmp_path):
    root, photos = shutil.copytree(whole, tmp_path / "out"), shutil.copytree(faces, tmp_path / "faces")
    for index in (2, 3, 4):
        shutil.rmtree(root / f"face{index}")
        (photos / f"face{index}.png").unlink()
    (root / "face0" / "old").write_text("of the earlier run")
    options = (*inpaint, "--image", photos / "face0.png", photos / "face1.png", "--output", root, "--overwrite")
    before = contents(root)
    refused(*options, "--lpips", tmp_path / "missing")  # everything that is needed is read first
    assert contents(root) == before
    (photos / "face1.png").write_bytes(b"broken")
    code, stderr = call(*options)
    assert code == 1 and "1 of 2 photographs failed:" in stderr, stderr
    assert not (root / "face0" / "old").exists()
    assert_same(root / "face1", whole / "face1")  # what could not be made anew is still there


def test_several_photographs_never_touch_something_else(faces, inpaint, tmp_path):
    (tmp_path / "out" / "face3" / "settings").mkdir(parents=True)
    (tmp_path / "out" / "face3" / "settings" / "config.json").write_text("{}")
    for option in ("--overwrite", "--resume"):
        message = refused(*inpaint, "--image", faces, "--output", tmp_path / "out", option)
        assert "face3 exists and is no run of this program" in message
    assert [path.name for path in tmp_path.glob("out/*/*/*")] == ["config.json"]


def test_another_format_of_the_whole_photograph_is_written_on_resume(whole, faces, inpaint, tmp_path):
    """Without another step: every face is finished."""
    root = shutil.copytree(whole, tmp_path / "out")
    options = (*inpaint, "--image", faces, "--output", root, "--resume", "--paste-back")
    succeed(*options)
    assert all((root / f"face{index}" / "restored.png").exists() for index in range(5))
    succeed(*options, "--paste-format", "tiff")
    for index in range(5):
        written = [photo_files.read_photo(root / f"face{index}" / f"restored.{suffix}") for suffix in ("png", "tif")]
        np.testing.assert_array_equal(*written)


def test_jobs_of_a_kind_share_a_batch_whatever_their_numbers_are(faces, tiny_network, tmp_path):
    jobs = [
        {"image": "face0.png", "task": "inpaint", "mask_kind": "half"},
        {"image": "face1.png", "task": "colorize"},
        {"image": "face2.png", "task": "inpaint", "steps": 8, "learning_rate": 0.05},
    ]
    photos = shutil.copytree(faces, tmp_path / "photos")
    (photos / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    options = ("--task", "invert", *QUICK, "--model", tiny_network, "--jobs", photos / "jobs.jsonl")
    succeed(*options, "--output", tmp_path / "out")
    for index, job in enumerate(jobs):
        facts = json.loads((tmp_path / "out" / f"face{index}" / "config.json").read_text())
        assert facts["settings"]["damage"]["task"] == job["task"]
        losses = (tmp_path / "out" / f"face{index}" / "losses.csv").read_text().splitlines()
        assert len(losses) == 1 + job.get("steps", 6)
    sizes = [line for line in events(tmp_path / "out") if "group" in line]
    assert [(line["group"].split("-")[0], line["batch_size"]) for line in sizes] == [("inpaint", 2), ("colorize", 1)]
