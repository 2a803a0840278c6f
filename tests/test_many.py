"""Many photographs in one command: folders, manifest, contact sheet; what fails, what is interrupted, what goes on."""

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgan
from experiments.invert import main
from experiments.runs import settings as run_settings
from jaxgan import images, optimization
from jaxgan.batch import Batch

ROOT = Path(__file__).parent.parent
HELD_OUT = Path(jaxgan.__file__).parent / "data" / "heldout.npz"
PROG = "python -m experiments.invert"
QUICK = ("--steps", "6", "--snapshot-every", "3", "--already-aligned")
SAME = ("losses.csv", "reconstruction.png", "panel.png", "progress.gif", "latents.npz")


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> Path:
    """A folder of five held-out faces of the demo network."""
    folder = tmp_path_factory.mktemp("faces")
    with np.load(HELD_OUT) as file:
        for index, picture in enumerate(file["images"][:5]):
            images.write_png(folder / f"face{index}.png", picture)
    return folder


def call(*arguments) -> tuple[int, str]:
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        code = main([str(argument) for argument in arguments])
    return code, stderr.getvalue()


def succeed(*arguments) -> str:
    code, stderr = call(*arguments)
    assert code == 0, stderr
    return stderr


def events(root: Path, name: str = "manifest.jsonl") -> list[dict]:
    return [json.loads(line) for line in (root / name).read_text().splitlines()]


def states(root: Path, name: str = "manifest.jsonl") -> dict[str, str]:
    return {line["item"]: line["state"] for line in events(root, name) if "item" in line}


def finished_lines(root: Path, name: str = "manifest.jsonl") -> Counter:
    return Counter(line["item"] for line in events(root, name) if line.get("state") == "finished")


def assert_same(folder: Path, expected: Path) -> None:
    for name in SAME:
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), (folder, name)


@pytest.fixture(scope="module")
def whole(faces, tmp_path_factory) -> Path:
    """All faces, in batches of two."""
    root = tmp_path_factory.mktemp("whole") / "out"
    succeed("--task", "inpaint", *QUICK, "--image", faces, "--batch-size", 2, "--output", root)
    return root


# What is written.


def test_a_folder_of_photographs(whole):
    assert {path.name for path in whole.iterdir()} == {
        *(f"face{index}" for index in range(5)),
        *("manifest.jsonl", "contact_sheet.png"),
    }
    assert finished_lines(whole) == {f"face{index}": 1 for index in range(5)}
    header, *rest = events(whole)
    assert header["settings"]["batch_size"] == 2 and header["settings"]["options"]["task"] == "inpaint"
    last = [line for line in rest if line["state"] == "finished"][-1]
    assert last["image"].endswith(".png") and np.isfinite(last["result"]["against_truth"]["lpips"])
    with Image.open(whole / "contact_sheet.png") as sheet:
        assert sheet.size == (4 * (3 * 96 + 8) - 8, 2 * (96 + 22))
        tile = np.asarray(sheet)[16:112, 288 + 8 : 288 + 8 + 96]
    target = images.read_photo(whole / "face1" / "target.png")
    expected = Image.fromarray(target).resize((96, 96), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(tile, np.asarray(expected))


def test_an_item_alone_equals_the_item_in_a_batch(whole, faces, tmp_path):
    """To the last bit at the same batch size, whatever the order and the company."""
    order = [faces / f"face{index}.png" for index in (4, 1)]
    options = ("--task", "inpaint", *QUICK, "--batch-size", 2, "--image")
    succeed(*options, *order, "--output", tmp_path / "two")
    for name in ("face4", "face1"):
        assert_same(tmp_path / "two" / name, whole / name)
    succeed(*options, order[0], "--output", tmp_path / "one")  # with one file, the folder itself
    assert_same(tmp_path / "one", whole / "face4")


def test_another_batch_size_changes_rounding_only(whole, faces, tmp_path):
    """Seen after 6 steps: 4e-6 of the loss, 3e-4 of the latents."""
    options = ("--task", "inpaint", *QUICK, "--batch-size", 1, "--image", faces / "face3.png")
    succeed(*options, "--output", tmp_path / "one")
    ours, expected = (
        np.loadtxt(path / "losses.csv", delimiter=",", skiprows=1) for path in (tmp_path / "one", whole / "face3")
    )
    np.testing.assert_allclose(ours[:, 1], expected[:, 1], rtol=1e-3)
    with np.load(tmp_path / "one" / "latents.npz") as a, np.load(whole / "face3" / "latents.npz") as b:
        assert np.linalg.norm(a["ws"] - b["ws"]) < 1e-2 * np.linalg.norm(b["ws"])


def test_jobs_of_mixed_tasks(faces, tmp_path):
    """Every line has its own task and options; the demo's faces are found relative to the list.

    Faces of a task share a batch, whatever their numbers are.
    """
    shutil.copytree(faces, tmp_path / "photos")
    jobs = [
        {"image": "photos/face0.png", "task": "deblur", "sigma": 1.5},
        {"image": "photos/face1.png", "task": "colorize"},
        {"image": "photos/face2.png", "task": "deblur", "sigma": 0.7, "steps": 8, "learning_rate": 0.05},
    ]
    (tmp_path / "jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs))
    succeed("--task", "invert", *QUICK, "--jobs", tmp_path / "jobs.jsonl", "--output", tmp_path / "out")
    for index, job in enumerate(jobs):
        facts = json.loads((tmp_path / "out" / f"face{index}" / "config.json").read_text())
        options = facts["settings"]["options"]
        assert (options["task"], options["sigma"]) == (job["task"], job.get("sigma"))
        losses = (tmp_path / "out" / f"face{index}" / "losses.csv").read_text().splitlines()
        assert len(losses) == 1 + job.get("steps", 6)
    gray = images.read_photo(tmp_path / "out" / "face1" / "degraded.png").astype(int)
    assert (np.ptp(gray, axis=-1) == 0).all()
    sharp = [
        abs(np.diff(images.read_photo(tmp_path / "out" / f"face{i}" / "degraded.png").astype(int), axis=0)).mean()
        / abs(np.diff(images.read_photo(faces / f"face{i}.png").astype(int), axis=0)).mean()
        for i in (0, 2)
    ]
    assert sharp[0] < sharp[1] < 1
    sizes = [line for line in events(tmp_path / "out") if "group" in line]
    assert [(line["group"].split("-")[0], line["batch_size"]) for line in sizes] == [("deblur", 2), ("colorize", 1)]


def test_the_best_seed_is_kept_and_all_are_saved(faces, tmp_path):
    options = ("--task", "colorize", *QUICK, "--image", faces / "face0.png", "--output", tmp_path / "out")
    succeed(*options, "--restarts", 3, "--seed", 4)
    distances = {}
    for seed in (4, 5, 6):
        facts = json.loads((tmp_path / "out" / f"seed-{seed}" / "config.json").read_text())
        assert facts["settings"]["options"]["seed"] == seed
        distances[f"seed-{seed}"] = facts["result"]["against_observed"]["lpips"]
    kept = json.loads((tmp_path / "out" / "config.json").read_text())
    assert kept["restarts"] == distances and kept["kept"] == min(distances, key=distances.get)
    assert len(set(distances.values())) == 3
    assert_same(tmp_path / "out", tmp_path / "out" / kept["kept"])
    assert os.listdir(tmp_path / "out" / "latents") == ["6"]
    stderr = succeed(*options, "--restarts", 3, "--seed", 4, "--resume")
    assert stderr.count("is finished already") == 3
    succeed(*options[:-1], tmp_path / "some", "--seeds", 6, 4, 5)  # the same three, so the same places and sizes
    for seed in (4, 5, 6):
        assert_same(tmp_path / "some" / f"seed-{seed}", tmp_path / "out" / f"seed-{seed}")


def test_new_photographs_join_a_finished_folder(whole, faces, tmp_path):
    root, photos = shutil.copytree(whole, tmp_path / "out"), shutil.copytree(faces, tmp_path / "faces")
    shutil.rmtree(root / "face4")
    text = (root / "manifest.jsonl").read_text().splitlines(keepends=True)
    (root / "manifest.jsonl").write_text("".join(line for line in text if '"face4"' not in line) + '{"item": "fa')
    before = {path: path.stat().st_mtime_ns for path in root.glob("face*/*")}
    options = ("--task", "inpaint", *QUICK, "--image", faces, "--batch-size", 2, "--output", root)
    code, stderr = call(*options)
    assert code == 2 and "holds another run; add --resume to continue it" in stderr
    stderr = succeed(*options, "--resume")
    assert "4 of 5 photographs are finished already." in stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert_same(root / "face4", whole / "face4")
    assert finished_lines(root) == {f"face{index}": 1 for index in range(5)}
    code, stderr = call(*options[:-3], 4, "--output", root, "--resume")
    assert code == 2 and "manifest.jsonl was started with other settings (batch_size: 2 then, 4 now)" in stderr
    assert photos.exists()


# What goes wrong.


def test_an_unreadable_photograph_does_not_stop_the_others(whole, faces, tmp_path):
    photos = shutil.copytree(faces, tmp_path / "faces")
    (photos / "face2.png").write_bytes((photos / "face2.png").read_bytes()[:100])
    images.write_png(photos / "face3b.png", np.zeros((20, 40, 3), np.uint8))
    options = ("--task", "inpaint", *QUICK, "--image", photos, "--batch-size", 2, "--output", tmp_path / "out")
    code, stderr = call(*options)
    assert code == 1 and "Traceback" not in stderr
    lines = stderr.splitlines()
    assert f"{PROG}: 2 of 6 photographs failed:" in lines
    assert re.search(r"face2.png: .*damaged", lines[-2]) and "expects a square face crop" in lines[-1]
    assert states(tmp_path / "out")["face2"] == "failed" and not (tmp_path / "out" / "face2").exists()
    for index in (0, 1, 3, 4):
        assert_same(tmp_path / "out" / f"face{index}", whole / f"face{index}")
    shutil.copy(faces / "face2.png", photos)  # mended
    (photos / "face3b.png").unlink()
    succeed(*options, "--resume")
    assert_same(tmp_path / "out" / "face2", whole / "face2")
    assert states(tmp_path / "out")["face2"] == "finished"


def test_a_loss_that_is_not_finite_fails_its_photograph_only(whole, faces, tmp_path, monkeypatch):
    start = optimization.initial_state

    def start_broken(generator, w, config, key):
        state = start(generator, w, config, key)
        broken = jax.random.key_data(key).tolist() == bad
        return state._replace(latents=state.latents._replace(w=state.latents.w * np.nan)) if broken else state

    bad = jax.random.key_data(run_settings.key_for(0, Path("face1.png"))).tolist()
    monkeypatch.setattr(optimization, "initial_state", start_broken)
    options = ("--task", "inpaint", *QUICK, "--image", faces, "--batch-size", 2, "--output", tmp_path / "out")
    code, stderr = call(*options)
    assert code == 1 and "face1.png: the loss is nan at step 0" in stderr.splitlines()[-1]
    for index in (0, 2, 3, 4):  # its neighbours in the batch among them
        assert_same(tmp_path / "out" / f"face{index}", whole / f"face{index}")


def test_a_batch_too_large_is_halved(whole, faces, tmp_path, monkeypatch):
    advance = Batch.advance
    chunks = []

    def run_out_of_memory(self, chunk_steps):
        chunks.append(self.size)
        if self.size == 4 and len(chunks) == 2:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")
        return advance(self, chunk_steps)

    monkeypatch.setattr(Batch, "advance", run_out_of_memory)
    options = ("--task", "inpaint", *QUICK, "--image", faces, "--output", tmp_path / "out")
    stderr = succeed(*options, "--batch-size", 4)
    assert "a batch of 4 does not fit into memory; going on with 2." in stderr
    assert chunks == [4, 4] + [2] * 4  # the second half of four faces, then the fifth
    assert finished_lines(tmp_path / "out") == {f"face{index}": 1 for index in range(5)}
    assert_same(tmp_path / "out" / "face4", whole / "face4")
    ours, expected = (
        np.loadtxt(path / "face0" / "losses.csv", delimiter=",", skiprows=1) for path in (tmp_path / "out", whole)
    )
    np.testing.assert_allclose(ours[:, 1], expected[:, 1], rtol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--image {empty}", "empty holds no photograph"),
        ("--image {faces}/*.gif", "no file fits .*gif"),
        ("--image {faces} --batch-size 0", "--batch-size is 0; expected 1 or more, or auto"),
        ("--image {faces} --shard 3/2", "--shard is '3/2'; expected I/N with I from 1 to N"),
        ("--image {faces} --shard x", "--shard is 'x'; expected I/N"),
        ("--image {faces} --seeds 1 1", "a seed is given twice"),
        ("--image {faces} --seeds 1 2 --restarts 2", "--seeds and --restarts exclude each other"),
        ("--image {faces} --restarts 0", "--restarts is 0; expected 1 or more"),
        ("--image {faces} --patience 0", "patience must be at least 1, got 0"),
        ("--image {faces} --jobs {empty}/jobs", "--image and --jobs exclude each other"),
        ("--jobs {empty}/missing", "missing: No such file or directory"),
        ("--jobs {jobs}/list", 'list, line 2: it has no "image"'),
        ("--jobs {jobs}/unknown", "unknown, line 1: colour: no option of a job"),
        ("--jobs {jobs}/task", "task, line 1: 'paint' is no task"),
        ("--jobs {jobs}/number", "number, line 1: steps is 'many', no number"),
        ("--jobs {jobs}/json", "json, line 1: "),
        ("--jobs {jobs}/blank", "blank lists no job"),
    ],
)
def test_mistakes_are_told_before_anything_runs(options, message, faces, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "jobs").mkdir()
    for name, text in {
        "list": '{"image": "a.png"}\n{"task": "invert"}\n',
        "unknown": '{"image": "a.png", "colour": 1}',
        "task": '{"image": "a.png", "task": "paint"}',
        "number": '{"image": "a.png", "steps": "many"}',
        "json": "{image}",
        "blank": "\n",
    }.items():
        (tmp_path / "jobs" / name).write_text(text)
    given = options.format(empty=tmp_path / "empty", faces=faces, jobs=tmp_path / "jobs").split()
    code, stderr = call("--task", "inpaint", *QUICK, "--output", tmp_path / "out", *given)
    assert code == 2 and stderr.count("\n") == 1 and re.search(message, stderr), stderr
    assert not (tmp_path / "out").exists()


def test_several_photographs_never_touch_something_else(faces, tmp_path):
    (tmp_path / "out" / "face3").mkdir(parents=True)
    (tmp_path / "out" / "face3" / "diary.txt").write_text("precious")
    for option in ("--overwrite", "--resume"):
        code, stderr = call("--task", "inpaint", *QUICK, "--image", faces, "--output", tmp_path / "out", option)
        assert code == 2 and "face3 exists and is no run of this program" in stderr
    assert [path.name for path in tmp_path.glob("out/*/*")] == ["diary.txt"]


# Real processes.


def start(*options, output: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "experiments.invert", "--task", "inpaint", *QUICK, *map(str, options)]
    command += ["--output", str(output)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen, code: int = 0) -> str:
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == code, stderr
    return stderr


def wait_for(condition, process: subprocess.Popen, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


LONG = ("--steps", 24, "--checkpoint-seconds", 0, "--batch-size", 2)


@pytest.fixture(scope="module")
def long_jobs(faces, tmp_path_factory) -> Path:
    return write_jobs(tmp_path_factory.mktemp("jobs") / "jobs.jsonl", count=5, tasks=("inpaint", "colorize"))


def write_jobs(path: Path, count: int, tasks: tuple[str, ...]) -> Path:
    """A list of mixed tasks over the held-out faces, which come again mirrored and upside down."""
    with np.load(HELD_OUT) as file:
        faces = file["images"]
    pictures = np.concatenate([faces, faces[:, :, ::-1], faces[:, ::-1], faces[:, ::-1, ::-1]])
    with open(path, "w") as lines:
        for index, picture in enumerate(pictures[:count]):
            images.write_png(path.parent / f"face{index:02}.png", picture)
            task = tasks[index * len(tasks) // count]
            lines.write(json.dumps({"image": f"face{index:02}.png", "task": task}) + "\n")
    return path


@pytest.fixture(scope="module")
def long_run(long_jobs, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("long") / "out"
    end(start("--jobs", long_jobs, *LONG, output=root))
    return root


def kill_at_random(jobs: Path, expected: Path, root: Path, *, kills: int, seconds: float, seed: int = 0) -> None:
    """Kills without warning at random moments, then lets the run end; everything must be as if nothing had been."""
    moments = random.Random(seed)
    killed = 0
    while killed < kills:
        process = start("--jobs", jobs, *LONG, "--resume", output=root)
        try:
            process.communicate(timeout=moments.uniform(0.3, seconds))
            assert process.returncode == 0
            break  # it was done before it could be killed
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
    end(start("--jobs", jobs, *LONG, "--resume", output=root))
    items = [json.loads(line)["image"].removesuffix(".png") for line in jobs.read_text().splitlines()]
    assert finished_lines(root) == dict.fromkeys(items, 1)
    for item in items:
        assert_same(root / item, expected / item)
        assert os.listdir(root / item / "latents") == ["24"]
        assert sorted(os.listdir(root / item / "snapshots")) == sorted(os.listdir(expected / item / "snapshots"))
    assert (root / "contact_sheet.png").read_bytes() == (expected / "contact_sheet.png").read_bytes()
    assert killed == kills, f"only {killed} kills found the run alive"


def test_kills_at_random_moments_change_nothing(long_jobs, long_run, tmp_path):
    kill_at_random(long_jobs, long_run, tmp_path / "out", kills=3, seconds=10)


@pytest.mark.slow
def test_64_photographs_survive_25_kills(tmp_path):
    jobs = write_jobs(tmp_path / "jobs.jsonl", count=64, tasks=("inpaint", "colorize", "deblur", "invert"))
    assert len(jobs.read_text().splitlines()) == 64
    end(start("--jobs", jobs, *LONG, output=tmp_path / "whole"))
    kill_at_random(jobs, tmp_path / "whole", tmp_path / "out", kills=25, seconds=30)  # starting takes some 10


def test_ctrl_c_finishes_the_chunk_and_says_how_to_go_on(long_jobs, long_run, tmp_path):
    root = tmp_path / "out"
    process = start("--jobs", long_jobs, *LONG, output=root)
    wait_for(lambda: any(root.glob("*/latents/*/commit_success.txt")), process)
    process.send_signal(signal.SIGINT)
    stderr = end(process, 130)
    assert stderr.splitlines()[-1] == f"{PROG}: interrupted. To go on with {root}, repeat the command with --resume."
    assert "Traceback" not in stderr
    end(start("--jobs", long_jobs, *LONG, "--resume", output=root))
    for folder in long_run.glob("face*"):
        assert_same(root / folder.name, folder)


def test_two_shards_do_the_folder_once(faces, whole, tmp_path):
    options = ("--image", faces, "--batch-size", 2)
    processes = [start(*options, "--shard", f"{index}/2", output=tmp_path / "out") for index in (1, 2)]
    for process in processes:
        end(process)
    lists = [finished_lines(tmp_path / "out", f"manifest-{index}-of-2.jsonl") for index in (1, 2)]
    assert lists[0] == dict.fromkeys(("face0", "face2", "face4"), 1) and lists[1] == dict.fromkeys(
        ("face1", "face3"), 1
    )
    for index in range(5):
        assert_same(tmp_path / "out" / f"face{index}", whole / f"face{index}")


def test_a_lost_worker_of_a_cluster_loses_nothing(long_jobs, long_run, tmp_path):
    """Two workers on this machine, one of them killed in the middle of its photographs."""
    psutil = pytest.importorskip("psutil")
    pytest.importorskip("ray")
    root = tmp_path / "out"
    process = start("--jobs", long_jobs, *LONG, "--cluster", "local", output=root)
    wait_for(lambda: any(root.glob("*/latents/*/commit_success.txt")), process)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "_restore_part" in child.name() or any("_restore_part" in word for word in child.cmdline())
    ]
    assert workers
    workers[0].kill()
    end(process)
    items = [folder.name for folder in sorted(long_run.glob("face*"))]
    assert finished_lines(root) == dict.fromkeys(items, 1)
    for item in items:
        assert_same(root / item, long_run / item)


@pytest.fixture
def tiny_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stops_the_run_and_nothing_is_lost(whole, faces, tiny_disk):
    options = ("--task", "inpaint", *QUICK, "--image", faces, "--batch-size", 2, "--output", tiny_disk / "out")
    code, stderr = call(*options)
    assert code == 2 and "Traceback" not in stderr
    last = stderr.splitlines()[-1]
    assert "No space left on device; make room or give access, then repeat the command with --resume." in last
    subprocess.run(["mount", "-o", "remount,size=40m", str(tiny_disk)], check=True)
    succeed(*options, "--resume")
    assert finished_lines(tiny_disk / "out") == {f"face{index}": 1 for index in range(5)}
    for index in range(5):
        assert_same(tiny_disk / "out" / f"face{index}", whole / f"face{index}")
