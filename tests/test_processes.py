"""Real processes: killed, interrupted, shared between processes and machines. Nothing is lost, and nothing changes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from commands import PROG, QUICK, assert_same, finished_lines, succeed

from experiments.restore import cluster
from jaxgan import images

ROOT = Path(__file__).parent.parent
LONG = ("--steps", 12, "--snapshot-every", 3, "--checkpoint-seconds", 0)
LONG += ("--batch-size", 1)  # a larger one rounds by places at 16 pixels


@pytest.fixture(scope="module")
def start(tiny_network):
    """`start(*options, output=folder)`: the process of a command."""

    def get(*options, output: Path) -> subprocess.Popen:
        command = [sys.executable, "-m", "experiments.invert", "--task", "inpaint", *QUICK, "--model", tiny_network]
        command += [*map(str, options), "--output", str(output)]
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)

    return get


def end(process: subprocess.Popen, code: int = 0) -> str:
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == code, stderr
    return stderr


def wait_for(condition, process: subprocess.Popen, seconds: float = 600) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_saved(root: Path) -> bool:
    """Whether a face has a checkpoint."""
    return bool(saved(root))


def saved(root: Path) -> set[Path]:
    """The checkpoints of all faces."""
    return {path for path in root.glob("*/latents/*") if path.name.isdigit()}


def write_jobs(path: Path, crops: np.ndarray, count: int, tasks: tuple[str, ...]) -> Path:
    """A list of tasks over pictures, which come again mirrored and upside down."""
    pictures = np.concatenate([crops, crops[:, :, ::-1], crops[:, ::-1], crops[:, ::-1, ::-1]])
    with open(path, "w") as lines:
        for index, picture in enumerate(pictures[:count]):
            images.write_png(path.parent / f"face{index:02}.png", images.resize(picture, 16))
            task = tasks[index * len(tasks) // count]
            lines.write(json.dumps({"image": f"face{index:02}.png", "task": task}) + "\n")
    return path


@pytest.fixture(scope="module")
def jobs(crops, tmp_path_factory) -> Path:
    return write_jobs(tmp_path_factory.mktemp("jobs") / "jobs.jsonl", crops, count=3, tasks=("inpaint",))


@pytest.fixture(scope="module")
def whole(tiny_network, jobs, tmp_path_factory) -> Path:
    """The folder that this process has written undisturbed, one shard of the photographs after the other."""
    root = tmp_path_factory.mktemp("whole") / "out"
    command = ("--task", "inpaint", *QUICK, "--model", tiny_network, "--jobs", jobs, *LONG, "--output", root)
    for index in (1, 2):
        succeed(*command, "--shard", f"{index}/2")
    return root


def test_two_shards_do_the_folder_once(whole):
    lists = [finished_lines(whole, f"manifest-{index}-of-2.jsonl") for index in (1, 2)]
    assert lists == [{"face00": 1, "face02": 1}, {"face01": 1}]


def assert_all_finished(root: Path, whole: Path) -> None:
    items = [folder.name for folder in sorted(whole.glob("face*"))]
    assert finished_lines(root) == dict.fromkeys(items, 1)
    for item in items:
        assert_same(root / item, whole / item)


def kill_at_random(start, jobs: Path, whole: Path, root: Path, *, kills: int, finish: Callable[..., object]) -> None:
    """Kills without warning at random moments, then lets `finish` end the run; all must be as if nothing had been.

    One moment is soon after a checkpoint, the next while the program begins: imports, reads, claims or compiles.
    """
    moments = random.Random(0)
    for kill in range(kills):
        before = saved(root)
        process = start("--jobs", jobs, *LONG, "--resume", output=root)
        if kill % 2 == 0:
            wait_for(lambda before=before: saved(root) - before, process)
        time.sleep(moments.uniform(0, 0.5) if kill % 2 == 0 else moments.uniform(0.3, 5))
        assert process.poll() is None, "it was done before it could be killed"
        process.kill()
        process.communicate()
    finish("--jobs", jobs, *LONG, "--resume", output=root)
    assert_all_finished(root, whole)
    for folder in whole.glob("face*"):
        assert os.listdir(root / folder.name / "latents") == ["12"]
        assert sorted(os.listdir(root / folder.name / "snapshots")) == sorted(os.listdir(folder / "snapshots"))
        # No halves of files; of its lock, which nobody holds, a killed process may leave the name.
        assert {file.name for file in (root / folder.name).glob(".*")} <= {".run.lock", ".run.holder"}


def test_a_kill_changes_nothing(start, jobs, whole, tiny_network, tmp_path):
    def finish(*options, output: Path):
        succeed("--task", "inpaint", *QUICK, "--model", tiny_network, *options, "--output", output)

    kill_at_random(start, jobs, whole, tmp_path / "out", kills=1, finish=finish)


@pytest.mark.slow
def test_64_photographs_survive_25_kills(start, crops, tmp_path):
    jobs = write_jobs(tmp_path / "jobs.jsonl", crops, count=64, tasks=("inpaint", "colorize", "deblur", "invert"))
    end(start("--jobs", jobs, *LONG, output=tmp_path / "whole"))
    kill_at_random(
        *(start, jobs, tmp_path / "whole", tmp_path / "out"),
        kills=25,
        finish=lambda *options, output: end(start(*options, output=output)),
    )
    sheets = [(tmp_path / name / "contact_sheet.png").read_bytes() for name in ("whole", "out")]
    assert sheets[0] == sheets[1]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_process_is_refused_and_a_signal_says_how_to_go_on(start, jobs, whole, tmp_path, number):
    """Two processes deleted each other's temporary files once."""
    root = tmp_path / "out"
    first = start("--jobs", jobs, *LONG, output=root)
    wait_for(lambda: is_saved(root), first)
    first.send_signal(signal.SIGSTOP)  # or it might be done before the second one asks
    stderr = end(start("--jobs", jobs, *LONG, "--resume", output=root), 2)
    assert f"{root} is being written by process {first.pid} on " in stderr.splitlines()[-1]
    first.send_signal(number)
    first.send_signal(signal.SIGCONT)
    stderr = end(first, 130)
    assert stderr.splitlines()[-1] == f"{PROG}: interrupted. To go on with {root}, repeat the command with --resume."
    assert "Traceback" not in stderr
    end(start("--jobs", jobs, *LONG, "--resume", output=root))
    assert_all_finished(root, whole)


# A cluster of two workers on this machine.


def workers_of(process: subprocess.Popen) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if any("_restore_part" in word for word in (child.name(), *child.cmdline()))
    ]


def test_a_cluster_gives_what_one_process_gives(start, jobs, whole, tmp_path):
    pytest.importorskip("ray")
    few = jobs.with_name("few.jsonl")
    few.write_text(jobs.read_text().splitlines()[0])
    end(start("--jobs", few, *LONG, "--cluster", "local", output=tmp_path / "out"))
    assert finished_lines(tmp_path / "out") == {"face00": 1}
    assert_same(tmp_path / "out" / "face00", whole / "face00")


@pytest.mark.slow
def test_a_lost_worker_of_a_cluster_loses_nothing(start, jobs, whole, tmp_path):
    pytest.importorskip("ray")
    root = tmp_path / "out"
    process = start("--jobs", jobs, *LONG, "--cluster", "local", output=root)
    wait_for(lambda: is_saved(root), process)
    workers_of(process)[0].kill()
    end(process)
    assert_all_finished(root, whole)


@pytest.mark.slow
def test_an_interrupted_cluster_goes_on(start, jobs, whole, tmp_path):
    pytest.importorskip("ray")
    root = tmp_path / "out"
    process = start("--jobs", jobs, *LONG, "--cluster", "local", output=root)
    wait_for(lambda: is_saved(root), process)
    process.send_signal(signal.SIGTERM)
    stderr = end(process, 130)
    assert f"To go on with {root}, repeat the command with --resume." in stderr.splitlines()[-1]
    end(start("--jobs", jobs, *LONG, "--cluster", "local", "--resume", output=root))
    assert_all_finished(root, whole)


DYING = """
import os, signal, sys
from experiments.restore import cluster, crops
load = crops.load

def load_or_die(job, *arguments, **options):
    if job.name == "face01":
        os.kill(os.getpid(), signal.SIGKILL)  # as Linux does where memory runs out
    return load(job, *arguments, **options)

def part(*arguments):
    crops.load = load_or_die
    return restore_part(*arguments)

restore_part, cluster._restore_part = cluster._restore_part, part
from experiments.invert import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_photograph_that_kills_its_worker_fails_after_three_tries(jobs, tiny_network, tmp_path):
    """It was tried for ever once."""
    pytest.importorskip("ray")
    root = tmp_path / "out"
    command = [sys.executable, "-c", DYING, "--task", "inpaint", *QUICK, "--model", tiny_network]
    command += ["--batch-size", "1", "--image", *map(str, sorted(jobs.parent.glob("face0[0-2].png")))]
    done = subprocess.run(
        [*command, "--cluster", "local", "--output", root], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-2:] == [
        f"{PROG}: 1 of 3 photographs failed:",
        f"  face01: its worker was lost {cluster.TRIES} times, for want of memory perhaps (WorkerCrashedError)",
    ]
    assert finished_lines(root) == {"face00": 1, "face02": 1}
