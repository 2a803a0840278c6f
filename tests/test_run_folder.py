"""Run folders: claimed all or none, locked, of this version, and never deleted without this program's mark."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.runs import folder as run_folders
from experiments.runs import manifest
from experiments.runs.folder import RunFolder
from experiments.runs.lock import Lock
from jaxgan.errors import UserError

ROOT = Path(__file__).parent.parent
SETTINGS = {"seed": 0, "inversion": {"steps": 6}}


def claim(*paths: Path, settings=SETTINGS, resume=False, overwrite=False) -> list[RunFolder]:
    return RunFolder.claim(dict.fromkeys(paths, settings), resume=resume, overwrite=overwrite)


def finished(path: Path, settings=SETTINGS) -> Path:
    (run,) = claim(path, settings=settings)
    (path / "reconstruction.png").write_text("a picture")
    run.finish({"loss": 1.0})
    return path


def names(path: Path) -> set[str]:
    return {inside.name for inside in path.iterdir()}


def test_a_finished_run_is_kept_unless_told_otherwise(tmp_path):
    path = finished(tmp_path / "run")
    assert names(path) == {"config.json", "reconstruction.png"}  # nothing of the lock is left
    with pytest.raises(UserError, match="run holds another run; add --resume to continue it, --overwrite to replace"):
        claim(path)
    (run,) = claim(path, resume=True)
    assert run.is_finished and run_folders.result(path) == {"loss": 1.0}
    (run,) = claim(path, overwrite=True)
    assert not run.is_finished and "reconstruction.png" not in names(path)
    run.release()


def test_a_run_is_not_resumed_with_other_settings(tmp_path):
    path = finished(tmp_path / "run")
    other = {"seed": 4, "inversion": {"steps": 6, "learning_rate": 0.1}}
    said = r"other settings \(learning_rate: None then, 0.1 now; seed: 0 then, 4 now\); repeat its command"
    with pytest.raises(UserError, match=said):
        claim(path, settings=other, resume=True)
    assert run_folders.result(path) == {"loss": 1.0}


@pytest.mark.parametrize("option", [{}, {"resume": True}, {"overwrite": True}])
def test_folders_of_something_else_are_never_touched(option, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("precious")
    (tmp_path / "photos" / "config.json").write_text('{"theirs": 1}')
    (tmp_path / "file").write_text("precious")
    for name in ("photos", "file"):
        with pytest.raises(UserError, match=f"{name} exists and is no run of this program; choose another --output"):
            claim(tmp_path / "new" / "run", tmp_path / name, **option)
    assert names(tmp_path) == {"photos", "file"} and names(tmp_path / "photos") == {"a.jpg", "config.json"}


@pytest.mark.parametrize("option", [{}, {"resume": True}, {"overwrite": True}])
@pytest.mark.parametrize(
    ("record", "version"), [({"settings": {}, "finished": None}, 1), ({**run_folders.FORMAT, "format_version": 4}, 4)]
)
def test_folders_of_another_version_are_refused_in_a_line(option, record, version, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(record))
    said = rf"holds a run of another version of this program \(format {version}, this version reads 3\); choose another"
    with pytest.raises(UserError, match=said):
        claim(tmp_path, **option)
    with pytest.raises(UserError, match=said):
        run_folders.check_many([tmp_path], resume=bool(option.get("resume")), overwrite=bool(option.get("overwrite")))
    assert names(tmp_path) == {"config.json"}


def test_a_claim_that_fails_in_the_middle_leaves_nothing(tmp_path, monkeypatch):
    write = run_folders._write_record

    def fail_second(path, facts):
        if path.name == "seed-2":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        write(path, facts)

    monkeypatch.setattr(run_folders, "_write_record", fail_second)
    with pytest.raises(PermissionError):
        claim(tmp_path / "out" / "seed-1", tmp_path / "out" / "seed-2")
    assert names(tmp_path) == set()


def test_a_claim_that_fails_keeps_the_folders_of_other_processes(tmp_path, monkeypatch):
    """The folder around them was made by this claim, and another process has put its own run into it."""

    def fail(path, facts):
        (tmp_path / "out" / "of another").mkdir()
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(run_folders, "_write_record", fail)
    with pytest.raises(PermissionError):
        claim(tmp_path / "out" / "mine")
    assert names(tmp_path / "out") == {"of another"}


HOLD = """
import sys
from pathlib import Path
from experiments.runs.folder import RunFolder
(run,) = RunFolder.claim({Path(sys.argv[1]): {"seed": 0, "inversion": {"steps": 6}}}, resume=True, overwrite=False)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_process(tmp_path):
    """A process that works on `tmp_path / "run"` until its input is closed."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_told_who_works_on_a_folder(other_process, tmp_path):
    before = names(tmp_path / "run")
    for option in ({}, {"resume": True}, {"overwrite": True}):
        for _ in range(2):  # looking does not change who holds it
            with pytest.raises(UserError, match=rf"run is being written by process {other_process.pid} on \S+; wait"):
                claim(tmp_path / "run", **option)
    with pytest.raises(UserError, match="is being written by process"):
        run_folders.remove(tmp_path / "run")
    assert names(tmp_path / "run") == before >= {"config.json"}


def test_a_killed_process_holds_nothing(other_process, tmp_path):
    other_process.kill()
    other_process.wait()
    (run,) = claim(tmp_path / "run", resume=True)
    run.finish({})
    assert names(tmp_path / "run") == {"config.json"}


def test_a_lock_is_released_once_the_run_is_finished_or_given_up(tmp_path):
    (run,) = claim(tmp_path / "run")
    with pytest.raises(UserError, match=f"being written by process {os.getpid()} on"):
        claim(tmp_path / "run", resume=True)
    run.release()
    (run,) = claim(tmp_path / "run", resume=True)
    run.finish({})
    with Lock(tmp_path / "run"):
        pass


def test_of_many_photographs_only_marked_folders_are_removed(tmp_path):
    """A photograph's folder may hold runs of faces and of seeds, and what the user put beside them."""
    finished(tmp_path / "a")
    finished(tmp_path / "b" / "face-0" / "seed-1")
    finished(tmp_path / "b" / "face-1")
    finished(tmp_path / "b" / "face-1" / "sample-00")
    (tmp_path / "b" / "restored.tif").write_text("pasted together")
    (tmp_path / "b" / "restored_uncertainty.png").write_text("pasted together")
    (tmp_path / "b" / "diary").mkdir()
    (tmp_path / "b" / "diary" / "config.json").write_text('{"theirs": 1}')
    folders = [tmp_path / name for name in ("a", "b", "new")]
    with pytest.raises(UserError, match="a holds another run; add --resume"):
        run_folders.check_many(folders, resume=False, overwrite=False)
    assert run_folders.check_many(folders, resume=False, overwrite=True) == folders[:2]
    for folder in folders[:2]:
        run_folders.remove(folder)
    assert names(tmp_path / "a") == set() and names(tmp_path / "b") == {"diary"}
    assert (tmp_path / "b" / "diary" / "config.json").exists()


@pytest.mark.parametrize("option", ["resume", "overwrite"])
def test_a_folder_that_only_looks_like_runs_is_refused(option, tmp_path):
    """Any config.json counted as a run once, and its folder was deleted."""
    (tmp_path / "project" / "settings").mkdir(parents=True)
    (tmp_path / "project" / "settings" / "config.json").write_text('{"theirs": 1}')
    with pytest.raises(UserError, match="project exists and is no run of this program"):
        run_folders.check_many([tmp_path / "project"], **{"resume": False, "overwrite": False, option: True})


def test_a_photograph_whose_faces_needed_nothing_is_known_again(tmp_path):
    (tmp_path / "restored.png").write_text("pasted together")
    assert run_folders.check_many([tmp_path], resume=True, overwrite=False) == [tmp_path]


def test_a_manifest_survives_half_a_line_and_refuses_other_settings_and_versions(tmp_path):
    path = tmp_path / "manifest.jsonl"
    with manifest.opened(path, {"seed": 0}, resume=False) as record:
        record.write("a", "started")
        record.write("a", "finished")
        record.write("a", "started")  # what is finished stays so
        with pytest.raises(UserError, match="is being written by"), manifest.opened(path, {}, resume=True):
            pass
    path.write_text(path.read_text() + '{"item": "b", "sta')
    with manifest.opened(path, {"seed": 0}, resume=True) as record:
        assert record.is_finished("a") and not record.is_finished("b")
        record.write("b", "failed", error="broken")
    assert [json.loads(line).get("state") for line in path.read_text().splitlines()] == [
        *(None, "started", "finished", "failed")
    ]
    refused = pytest.raises(UserError, match=r"other settings \(seed: 0 then, 1 now\)")
    with refused, manifest.opened(path, {"seed": 1}, resume=True):
        pass
    path.write_text('{"settings": {"seed": 0}}\n')
    with pytest.raises(UserError, match="another version"), manifest.opened(path, {"seed": 0}, resume=True):
        pass
    assert names(tmp_path) == {"manifest.jsonl"}
