"""The wheel holds everything: its commands work from another folder, without the repository."""

import os
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder with the unpacked wheel, made from a copy of the sources without the network."""
    pytest.importorskip("setuptools")
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    files = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True)
    if files.returncode:
        pytest.skip("needs git and a repository, to tell sources from other files")
    for name in files.stdout.decode().split("\0")[:-1]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).symlink_to(ROOT / name)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('dist'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next((source / "dist").glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return site


def run(site: Path, folder: Path, *command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)


def test_all_files_are_in_the_wheel(site):
    for package in ("jaxgan", "convert", "experiments"):
        ours = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert ours == {str(path.relative_to(site)) for path in (site / package).rglob("*.py")}
    for folder in ("jaxgan/data", "experiments/page/parts"):
        data = {str(path.relative_to(ROOT)) for path in (ROOT / folder).rglob("*") if path.is_file()}
        assert data == {str(path.relative_to(site)) for path in (site / folder).rglob("*") if path.is_file()}


def test_every_command_has_an_entry_point_that_answers(site, tmp_path):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    (info,) = site.glob("*.dist-info")
    stored = {entry.name: entry.value for entry in metadata.Distribution.at(info).entry_points}
    assert stored == scripts
    for value in scripts.values():
        module, function = value.split(":")
        program = f"import sys; sys.argv = ['x', '--help']; from {module} import {function}; sys.exit({function}())"
        done = run(site, tmp_path, "-c", program)
        assert done.returncode == 0 and "usage:" in done.stdout.lower(), done.stderr


def test_a_face_is_cut_out_in_another_folder(site, tmp_path):
    program = "from jaxgan.photos import photo_files; print(photo_files.sample_photo_path())"
    photo = run(site, tmp_path, "-c", program).stdout.strip()
    assert photo.startswith(str(site))
    options = ("--eyes", "203,101,246,103", "--size", "32", "--output", "out")
    done = run(site, tmp_path, "-m", "experiments.align", photo, *options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "face-0.png").exists()
