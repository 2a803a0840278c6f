"""The command `experiments.invert`, through `main([...])`: what it writes, and what it says when it cannot.

All runs have 6 steps in 2 chunks, so that a task is compiled once for all tests of this file.
"""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image
from scipy import ndimage

import jaxgan
from experiments.invert import Config, main
from experiments.restore import degrade as tasks
from experiments.runs import folder as run_folder
from jaxgan import images, masks, optimization
from jaxgan.batch import Batch

PROG = "python -m experiments.invert"
TASKS = ("invert", "inpaint", "deblur", "colorize")
QUICK = ("--steps", "6", "--snapshot-every", "3")
FILES = {
    *("config.json", "degraded.png", "latents", "latents.npz", "loss.png", "losses.csv"),
    *("panel.png", "progress.gif", "reconstruction.png", "snapshots", "target.png"),
}


def call(*arguments) -> tuple[int, str]:
    """Exit code and stderr."""
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        code = main([str(argument) for argument in arguments])
    return code, stderr.getvalue()


def last_line(stderr: str) -> str:
    return stderr.replace("\r", "\n").splitlines()[-1]


def succeed(*arguments) -> str:
    code, stderr = call(*arguments)
    assert code == 0, stderr
    return stderr


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB", path
        return np.asarray(image)


def record(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    """Output folder of a run on the photograph that ships with the project."""
    folder = tmp_path_factory.mktemp("sample") / "new" / "run"
    succeed("--task", "inpaint", *QUICK, "--output", folder)
    return folder


@pytest.fixture(scope="module")
def crop(sample, tmp_path_factory) -> Path:
    return shutil.copy(sample / "target.png", tmp_path_factory.mktemp("crop") / "crop.png")


@pytest.fixture(scope="module")
def finished(crop, tmp_path_factory):
    """`finished(task)`: the output folder of a run on the face crop; not to be changed."""
    parent, folders = tmp_path_factory.mktemp("finished"), {}

    def get(task: str) -> Path:
        if task not in folders:
            folders[task] = parent / task
            succeed("--task", task, *QUICK, "--image", crop, "--already-aligned", "--output", folders[task])
        return folders[task]

    return get


def crop_arguments(task: str, crop: Path, output: Path) -> tuple:
    return ("--task", task, *QUICK, "--image", crop, "--already-aligned", "--output", output)


# What a run writes.


def test_the_sample_photo_is_aligned_and_restored(sample):
    assert {path.name for path in sample.iterdir()} == FILES
    assert pixels(sample / "target.png").shape == (64, 64, 3)
    assert record(sample)["settings"]["image"].endswith("astronaut.png")


@pytest.mark.parametrize("task", TASKS)
def test_all_pictures_are_there_and_readable(finished, crop, task):
    folder = finished(task)
    assert {path.name for path in folder.iterdir()} == FILES
    for name in ("target", "degraded", "reconstruction"):
        assert pixels(folder / f"{name}.png").shape == (64, 64, 3)
    np.testing.assert_array_equal(pixels(folder / "target.png"), pixels(crop))
    assert pixels(folder / "panel.png").shape == (256 + 44, 4 * 256 + 3 * 4, 3)  # four pictures below two lines
    with Image.open(folder / "loss.png") as plot:
        plot.load()
        assert min(plot.size) > 300
    assert sorted(os.listdir(folder / "snapshots")) == ["step_000003.png", "step_000006.png"]
    with Image.open(folder / "progress.gif") as gif:
        assert (gif.n_frames, gif.size) == (3, (256, 256))


def test_the_panel_shows_the_pictures_enlarged(finished):
    folder = finished("colorize")
    panel = pixels(folder / "panel.png")[44:]
    for index, name in enumerate(("target", "degraded", "reconstruction")):
        tile = panel[:, 260 * index : 260 * index + 256]
        np.testing.assert_array_equal(tile, pixels(folder / f"{name}.png").repeat(4, 0).repeat(4, 1))


def test_labels_of_the_panel_stay_over_their_pictures(finished):
    """The gaps between the tiles are white from top to bottom: no label reaches into its neighbour."""
    panel = pixels(finished("deblur") / "panel.png")
    for gap in (256, 516, 776):
        assert (panel[:, gap : gap + 4] == 255).all()
        assert not (panel[:44, gap - 256 : gap] == 255).all()  # and there is a label


def test_degraded_pictures(finished):
    target = pixels(finished("invert") / "target.png")
    np.testing.assert_array_equal(pixels(finished("invert") / "degraded.png"), target)
    gray = pixels(finished("colorize") / "degraded.png").astype(int)
    assert (np.ptp(gray, axis=-1) == 0).all() and abs(gray[:, :, 0] - target.mean(-1)).max() <= 0.5 + 1e-3
    blurred = ndimage.gaussian_filter(target.astype(float), 0.625, mode="mirror", radius=1, axes=(0, 1))
    assert abs(pixels(finished("deblur") / "degraded.png") - blurred).max() <= 0.5 + 1e-3
    mask = masks.strokes(0, 64) == 1
    inpainted = pixels(finished("inpaint") / "degraded.png")
    np.testing.assert_array_equal(inpainted[mask], target[mask])
    assert len(np.unique(inpainted[~mask], axis=0)) == 1


@pytest.mark.parametrize("task", TASKS)
def test_config_json_holds_what_repeats_the_run(finished, crop, task):
    facts = record(finished(task))
    settings, result = facts["settings"], facts["result"]
    assert facts["started"] <= facts["finished"]
    assert settings["options"]["task"] == task and settings["options"]["seed"] == 0
    assert settings["inversion"]["steps"] == 6 and settings["generator"]["resolution"] == 64
    assert settings["image"] == str(crop)
    assert settings["image_sha256"] == hashlib.sha256(crop.read_bytes()).hexdigest()
    assert facts["versions"]["jax"] == jax.__version__ and facts["versions"].keys() >= {"orbax-checkpoint", "device"}
    for pair in ("against_truth", "against_observed"):
        assert np.isfinite(list(result[pair].values())).all() and result[pair].keys() == {
            "psnr",
            "ssim",
            "lpips",
            "lpips_size",
        }
        assert result[pair]["lpips_size"] == result["loss_lpips_size"] == 64
    a, b = (pixels(finished(task) / f"{name}.png").astype(float) for name in ("target", "reconstruction"))
    np.testing.assert_allclose(result["against_truth"]["psnr"], 10 * np.log10(255**2 / ((a - b) ** 2).mean()))


@pytest.mark.parametrize("task", TASKS)
def test_losses_csv_has_a_row_per_step_that_adds_up(finished, task):
    with open(finished(task) / "losses.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    weights = record(finished(task))["settings"]["inversion"]
    assert [row["step"] for row in rows] == list(range(6))
    for row in rows:
        total = (
            row["perceptual"]
            + weights["noise_reg_weight"] * row["noise_regularizer"]
            + weights["latent_dist_reg_weight"] * row["latent_distance"]
        )
        np.testing.assert_allclose(row["total"], total, rtol=1e-6)  # float32
    assert rows[0]["learning_rate"] == 0 and max(row["learning_rate"] for row in rows) > 0
    result = record(finished(task))["result"]
    assert result["returned_step"] == np.argmin([row["total"] for row in rows])
    np.testing.assert_allclose(result["loss"], min(row["total"] for row in rows), rtol=1e-6)


@pytest.mark.parametrize("task", TASKS)
def test_the_latents_render_the_reconstruction(finished, demo, task):
    with np.load(finished(task) / "latents.npz") as file:
        ws = jnp.asarray(file["ws"])
        noise = tuple(jnp.asarray(file[f"noise_{index}"]) for index in range(len(file.files) - 1))
    assert ws.shape == (10, 512) and [len(map_) for map_ in noise] == [4, 8, 8, 16, 16, 32, 32, 64, 64]
    image = images.to_uint8(np.asarray(jax.jit(demo.synthesis)(ws, noise)))
    difference = abs(image.astype(int) - pixels(finished(task) / "reconstruction.png"))
    assert difference.max() <= 1 and difference.mean() < 0.01  # another compilation may round another way


def test_the_checkpoint_is_readable_by_other_programs(finished):
    folder = finished("inpaint")
    assert os.listdir(folder / "latents") == ["6"]
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore((folder / "latents" / "6" / "default").absolute())
    with np.load(folder / "latents.npz") as file:
        np.testing.assert_array_equal(np.broadcast_to(tree["state.best.w"], (10, 512)), file["ws"])
        np.testing.assert_array_equal(tree["state.best.noise.8"], file["noise_8"])
    assert tree["state.step"] == 6 and tree["losses.total"].shape == (6,)


def test_a_repeated_run_gives_the_same_files_and_shows_a_bar_and_one_line(finished, crop, tmp_path):
    stderr = succeed(*crop_arguments("inpaint", crop, tmp_path / "out"))
    for name in FILES - {"config.json", "latents", "snapshots"}:
        assert (tmp_path / "out" / name).read_bytes() == (finished("inpaint") / name).read_bytes(), name
    lines = [line for line in stderr.replace("\r", "\n").splitlines() if line]
    assert all("step/s" in line or "s/step" in line for line in lines[:-1])
    assert re.fullmatch(
        rf"{tmp_path}/out: against observed: [\d.]+ dB, LPIPS at 64 px [\d.]+; against truth: .* \(step \d\)",
        lines[-1],
    )


# Options.


def test_several_photographs_get_a_folder_each_whatever_their_format(crop, tmp_path):
    """Each result equals that of the plain picture: the format changes nothing, and neither does the company."""
    upright = Image.open(crop)
    gray = upright.convert("L")
    turned = Image.Exif()
    turned[0x0112] = 6  # stored turned left, to be shown turned right
    (tmp_path / "photos").mkdir()
    saved = {
        "gray.png": (gray, {}, np.asarray(gray.convert("RGB"))),
        "deep.png": (Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), {}, np.asarray(gray.convert("RGB"))),
        "alpha.png": (upright.convert("RGBA"), {}, np.asarray(upright)),
        "inks.jpg": (upright.convert("CMYK"), {"quality": 100, "subsampling": 0}, np.asarray(upright)),
        "turned.png": (upright.transpose(Image.Transpose.ROTATE_90), {"exif": turned}, np.asarray(upright)),
    }
    paths = [tmp_path / "photos" / name for name in saved]
    for path, (picture, options, _) in zip(paths, saved.values(), strict=True):
        picture.save(path, **options)
    succeed(
        *("--task", "invert", *QUICK, "--already-aligned", "--batch-size", 1, "--output", tmp_path / "out", "--image"),
        *paths,
    )
    expected = [*(path.stem for path in paths), "contact_sheet.png", "manifest.jsonl"]
    assert sorted(os.listdir(tmp_path / "out")) == sorted(expected)
    for path, (_, _, expected) in zip(paths, saved.values(), strict=True):
        folder = tmp_path / "out" / path.stem
        assert {file.name for file in folder.iterdir()} == FILES
        difference = abs(pixels(folder / "target.png").astype(int) - expected)
        assert difference.max() <= (4 if path.suffix == ".jpg" else 0), path  # JPEG of quality 100; seen: 1
    alone = tmp_path / "alone"
    succeed(*crop_arguments("invert", paths[2], alone))
    assert contents(alone)["reconstruction.png"] == contents(tmp_path / "out" / "alpha")["reconstruction.png"]


def test_without_output_the_folder_is_named_after_task_and_photograph(crop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    succeed("--task", "inpaint", *QUICK, "--image", crop, "--already-aligned")
    assert os.listdir("outputs") == ["inpaint-crop"]


@pytest.mark.slow  # compiles once more, 14 s; what is composed is tested below
def test_two_degradations_at_once(crop, tmp_path):
    painted = np.full((64, 64, 3), 255, np.uint8)
    painted[10:30, 20:50] = 0
    images.write_png(tmp_path / "mask.png", painted)
    succeed(*crop_arguments("inpaint", crop, tmp_path / "out"), "--also", "colorize", "--mask", tmp_path / "mask.png")
    degraded, target = (pixels(tmp_path / "out" / f"{name}.png").astype(float) for name in ("degraded", "target"))
    kept = painted[:, :, 0] == 255
    assert abs(degraded[kept] - target.mean(-1, keepdims=True)[kept]).max() <= 0.5 + 1e-3
    assert len(np.unique(degraded[~kept], axis=0)) == 1


def test_degradations_are_applied_in_the_order_of_a_camera(crop):
    """Blur, then gray, then scratches, however they are listed."""
    photo = images.to_float(pixels(crop))
    gray = ndimage.gaussian_filter(photo, 0.625, mode="mirror", radius=1, axes=(0, 1)).mean(-1, keepdims=True)
    kept = masks.strokes(0, 64)[:, :, None] == 1
    for order in (("inpaint", "colorize", "deblur"), ("deblur", "inpaint", "colorize")):
        true, assumed = tasks.degradations(Config(task=order[0], also=order[1:]), 64)
        for degradation in (true, assumed):
            degraded = np.asarray(degradation(jnp.asarray(photo)))
            np.testing.assert_allclose(np.where(kept, degraded - gray, 0), 0, atol=2e-6)  # seen: 2.4e-7
            assert len(np.unique(degraded[~kept[:, :, 0]], axis=0)) == 1


def test_a_mask_file_marks_damage_and_its_content_does_not_matter(crop, tmp_path):
    """With --already-degraded, black or white scratches give the same result to the last bit."""
    mask = images.read_photo(crop) * 0 + 255
    mask[20:40, 30:60] = 0
    images.write_png(tmp_path / "mask.png", mask)
    results = []
    for colour in (0, 255):
        folder = tmp_path / str(colour)
        folder.mkdir()
        images.write_png(folder / "photo.png", np.where(mask == 0, np.uint8(colour), pixels(crop)))
        arguments = crop_arguments("inpaint", folder / "photo.png", folder / "out")
        succeed(*arguments, "--mask", tmp_path / "mask.png", "--already-degraded")
        results.append(contents(folder / "out"))
    assert results[0]["reconstruction.png"] == results[1]["reconstruction.png"]
    assert "target.png" not in results[0]  # there is no truth
    facts = json.loads(results[0]["config.json"])
    assert "against_truth" not in facts["result"] and facts["settings"]["mask_sha256"]
    assert pixels(tmp_path / "0" / "out" / "panel.png").shape[1] == 3 * 256 + 2 * 4


def test_boxes_and_halves(crop, tmp_path):
    for kind, missing in (("box", np.s_[32:48, 16:32]), ("half", np.s_[:, 32:])):
        options = ("--mask-kind", kind, *(("--mask-box", 0.25, 0.5, 0.5, 0.75) if kind == "box" else ()))
        succeed(*crop_arguments("inpaint", crop, tmp_path / kind), *options)
        changed = (pixels(tmp_path / kind / "degraded.png") != pixels(crop)).any(-1)
        expected = np.zeros((64, 64), bool)
        expected[missing] = True
        np.testing.assert_array_equal(changed, expected)


def test_the_optimiser_may_assume_another_blur(finished, crop, tmp_path):
    succeed(*crop_arguments("deblur", crop, tmp_path / "out"), "--assume-sigma", 2)
    right, wrong = contents(finished("deblur")), contents(tmp_path / "out")
    assert wrong["degraded.png"] == right["degraded.png"]
    assert wrong["reconstruction.png"] != right["reconstruction.png"]


def test_of_two_faces_one_is_taken_and_said(sample, tmp_path):
    photo = images.read_photo(images.sample_photo_path())[:300, 90:390]
    images.write_png(tmp_path / "two.png", np.concatenate([photo, photo], 1))
    arguments = ("--task", "inpaint", *QUICK, "--image", tmp_path / "two.png", "--output")
    stderr = succeed(*arguments, tmp_path / "a")
    assert f"{tmp_path}/two.png: 2 faces found, taking the " in stderr  # largest, or surest of equal ones
    assert "--face N picks another (0 to 1)" in stderr
    difference = abs(pixels(tmp_path / "a" / "target.png").astype(int) - pixels(sample / "target.png"))
    assert difference.mean() < 8  # either copy, whose landmarks move a little with the picture; seen: 2.3 and 2.7
    code, stderr = call(*arguments, tmp_path / "b", "--face", 3)
    assert code == 2 and "there is no face 3; found 2, numbered from 0" in stderr
    assert not (tmp_path / "b").exists()


# Folders of earlier runs.


def test_an_existing_run_is_kept_unless_told_otherwise(finished, crop, tmp_path):
    folder = shutil.copytree(finished("inpaint"), tmp_path / "run")
    (folder / "note.txt").write_text("of the earlier run")
    before = contents(folder)
    code, stderr = call(*crop_arguments("inpaint", crop, folder))
    assert code == 2 and "holds another run; add --resume to continue it, --overwrite to replace it" in stderr
    assert contents(folder) == before
    stderr = succeed(*crop_arguments("inpaint", crop, folder), "--resume")
    assert stderr == f"{folder} is finished already; nothing to resume.\n"
    assert contents(folder) == before
    succeed(*crop_arguments("inpaint", crop, folder), "--overwrite", "--seed", 5)
    assert not (folder / "note.txt").exists() and record(folder)["settings"]["options"]["seed"] == 5
    assert contents(folder)["reconstruction.png"] != before["reconstruction.png"]  # another seed, another result


def test_a_run_is_not_resumed_with_other_settings(finished, crop, tmp_path):
    folder = shutil.copytree(finished("inpaint"), tmp_path / "run")
    other = images.read_photo(crop)[:, ::-1]
    images.write_png(tmp_path / "crop.png", other)
    before = contents(folder)
    for options, said in (
        (("--seed", 4), "seed: 0 then, 4 now"),
        (("--learning-rate", 0.05), "learning_rate: 0.1 then, 0.05 now"),
        (("--image", tmp_path / "crop.png"), "image_sha256: "),
    ):
        code, stderr = call(*crop_arguments("inpaint", crop, folder), *options, "--resume")
        assert code == 2 and "was started with other settings" in stderr and said in stderr, stderr
    code, stderr = call(*crop_arguments("deblur", crop, folder), "--resume")
    assert code == 2 and "task: inpaint then, deblur now" in stderr
    assert contents(folder) == before
    # How often it is saved decides nothing.
    succeed(*crop_arguments("inpaint", crop, folder), "--resume", "--checkpoint-seconds", 1)


def test_folders_of_something_else_are_never_touched(crop, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("precious")
    for option in ((), ("--overwrite",), ("--resume",)):
        code, stderr = call(*crop_arguments("inpaint", crop, tmp_path / "photos"), *option)
        assert code == 2 and "exists and is no run of this program; choose another --output" in stderr
    assert contents(tmp_path / "photos") == {"a.jpg": b"precious"}


def test_folders_are_claimed_all_or_none(finished, crop, tmp_path, monkeypatch):
    second = shutil.copy(crop, tmp_path / "second.png")
    arguments = ("--task", "inpaint", *QUICK, "--already-aligned", "--output", tmp_path / "out")
    arguments += ("--image", crop, second)
    # The second folder belongs to something else; the first holds a run that --overwrite would replace.
    earlier = shutil.copytree(finished("inpaint"), tmp_path / "out" / "crop")
    (tmp_path / "out" / "second").write_text("a file")
    before = contents(earlier)
    code, _ = call(*arguments, "--overwrite")
    assert code == 2 and contents(earlier) == before
    shutil.rmtree(tmp_path / "out")
    # The second folder cannot be written: the first, just made, is not left behind, nor is the folder around both.
    write = run_folder._write_record

    def fail_second(path, facts):
        if path.name == "seed-2":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        write(path, facts)

    monkeypatch.setattr(run_folder, "_write_record", fail_second)
    code, stderr = call(*crop_arguments("inpaint", crop, tmp_path / "out"), "--seeds", 1, 2)
    assert code == 2 and stderr == f"{PROG}: error: {tmp_path}/out/seed-2: Permission denied\n"
    assert not (tmp_path / "out").exists()


# Mistakes: exit code 2, one line, nothing written.


def _noise(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def _huge_png(path: Path) -> None:
    """A whole black and white picture of 20000x20000 pixels: 49 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20000, 20000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((1 + 20000 // 8) * 20000), 1)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


@pytest.fixture(scope="module")
def bad(crop, tmp_path_factory) -> Path:
    """A folder of things that cannot be used."""
    folder = tmp_path_factory.mktemp("bad")
    images.write_png(folder / "noise.png", _noise(96))
    (folder / "truncated.png").write_bytes(images.sample_photo_path().read_bytes()[:50_000])
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    images.write_png(folder / "dot.png", _noise(1))
    images.write_png(folder / "wide.png", _noise(80)[:40])
    _huge_png(folder / "huge.png")
    images.write_png(folder / "small_mask.png", np.full((32, 32, 3), 255, np.uint8))
    images.write_png(folder / "black_mask.png", np.zeros((64, 64, 3), np.uint8))
    network = shutil.copytree(Path(jaxgan.__file__).parent / "data" / "demo", folder / "future")
    settings = json.loads((network / "config.json").read_text()) | {"format_version": 99}
    (network / "config.json").write_text(json.dumps(settings))
    (folder / "file").write_text("in the place of a folder")
    (folder / "again").mkdir()
    shutil.copy(crop, folder / "again" / "crop.jpg")
    return folder


MISTAKES = {
    "no face": ("--image {bad}/noise.png", "noise.png: no face found .* --eyes"),
    "truncated": ("--image {bad}/truncated.png", "truncated.png: damaged or unsupported image"),
    "text": ("--image {bad}/text.jpg", "text.jpg: not an image in a known format"),
    "empty": ("--image {bad}/empty.png", "empty.png: the file is empty"),
    "missing": ("--image {bad}/missing.png", "missing.png: no such file"),
    "folder": ("--image {bad}/again/..//future", "future holds no photograph"),
    "1x1": ("--image {bad}/dot.png --already-aligned", "the image is 1x1 pixels; expected 16x16 or more"),
    "20000x20000": ("--image {bad}/huge.png", "20000x20000 = 400.0 million pixels|more than .* million pixels"),
    "not square": (
        "--image {bad}/wide.png --already-aligned",
        "is 80x40; --already-aligned expects a square",
    ),
    "the same name": ("{crop} {bad}/again/crop.jpg", "several photographs are called 'crop'"),
    "mask size": ("{crop} --mask {bad}/small_mask.png", "small_mask.png is 32x32; expected 64x64"),
    "black mask": ("{crop} --mask {bad}/black_mask.png", "black_mask.png: the mask is black everywhere"),
    "missing mask": ("{crop} --mask {bad}/missing.png", "missing.png: no such file"),
    "box": ("{crop} --mask-kind box --mask-box 0 0 1 1", "hides the whole picture"),
    "box without kind": ("{crop} --mask-box 0 0 0.5 0.5", "--mask-box belongs to --mask-kind box"),
    "mask and kind": ("{crop} --mask {bad}/black_mask.png --mask-kind half", "exclude each other"),
    "seed of a box": ("{crop} --mask-kind half --mask-seed 3", "--mask-seed belongs to the random strokes"),
    "negative mask seed": ("{crop} --mask-seed -1", "mask|seed|non-negative"),
    "damage of unknown place": ("{crop} --already-degraded", "--already-degraded with inpaint needs --mask FILE"),
    "model": ("{crop} --model {bad}/unknown", "unknown is no converted network: it has no config.json"),
    "newer model": ("{crop} --model {bad}/future", r"incompatible version \(format 99, this version reads 1\)"),
    "lpips": ("{crop} --lpips {bad}/unknown", "unknown is no converted network"),
    "generator as lpips": ("{crop} --lpips {demo}", "holds a 'jaxgan-generator'; expected a 'jaxgan-lpips'"),
    "output": ("{crop} --output {bad}/file/out", "file/out: Not a directory"),
    "output is a file": ("{crop} --output {bad}/file", "file exists and is no run of this program"),
    "steps": ("{crop} --steps 0", "steps must be at least 1, got 0"),
    "several numbers": ("{crop} --steps -3 --learning-rate 0", "steps must be .*; learning_rate must be positive"),
    "not a number": ("{crop} --learning-rate nan", "learning_rate must be positive and finite, got nan"),
    "snapshots": ("{crop} --snapshot-every 0", "--snapshot-every is 0; expected 1 step or more"),
    "face": ("--face 3", "there is no face 3; found 1"),
    "negative face": ("--face -1", "faces are numbered from 0"),
    "face of a crop": ("{crop} --face 0", "--face has no effect with --already-aligned"),
    "option of deblur": (
        "{crop} --sigma 2 --kernel-size 5",
        "--kernel-size belongs to deblur; --sigma belongs to",
    ),
    "option of inpaint": (
        "{crop} --task deblur --mask-seed 2",
        "--mask-seed belongs to inpaint, but the task is",
    ),
    "even kernel": (
        "{crop} --task deblur --kernel-size 4",
        "kernel size is 4; expected an odd number from 1 to 127",
    ),
    "no kernel": ("{crop} --task deblur --assume-kernel-size 0", "the kernel size is 0; expected an odd number"),
    "no sigma": ("{crop} --task deblur --assume-sigma 0", "sigma is 0.0; expected a positive number"),
    "both": ("{crop} --resume --overwrite", "--resume and --overwrite exclude each other"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing(name, bad, crop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = contents(bad)
    line, message = MISTAKES[name]
    demo = Path(jaxgan.__file__).parent / "data" / "demo"
    given = line.replace("{crop}", "--already-aligned --image {crop}").format(bad=bad, crop=crop, demo=demo).split()
    code, stderr = call("--task", "inpaint", *QUICK, "--output", "new/out", *given)
    assert code == 2
    assert stderr.startswith(f"{PROG}: error: ") and stderr.count("\n") == 1, stderr
    assert re.search(message, stderr), stderr
    assert not os.listdir(tmp_path) and contents(bad) == before


@pytest.mark.parametrize("arguments", [(), ("--task", "paint"), ("--task", "inpaint", "--colour", "1")])
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


# Runs that stop on the way.


def _unfinished(finished: Path, folder: Path) -> Path:
    """A copy that looks as if the run had been killed while it wrote its report."""
    shutil.copytree(finished, folder)
    (folder / "config.json").write_text(json.dumps(record(folder) | {"finished": None, "result": None}))
    (folder / "reconstruction.png").unlink()
    return folder


def test_a_run_killed_in_its_report_is_finished_from_its_checkpoint(finished, crop, tmp_path):
    folder = _unfinished(finished("inpaint"), tmp_path / "run")
    succeed(*crop_arguments("inpaint", crop, folder), "--resume")
    for name in ("reconstruction.png", "losses.csv", "panel.png", "progress.gif"):
        assert (folder / name).read_bytes() == (finished("inpaint") / name).read_bytes(), name
    assert record(folder)["result"] == record(finished("inpaint"))["result"]


def test_a_half_written_checkpoint_is_passed_over_and_removed(finished, crop, tmp_path):
    """What a kill in the middle of a save leaves: the next run takes the last whole one."""
    folder = _unfinished(finished("inpaint"), tmp_path / "run")
    partial = shutil.copytree(folder / "latents" / "6", folder / "latents" / "9.orbax-checkpoint-tmp")
    (partial / "commit_success.txt").unlink()
    succeed(*crop_arguments("inpaint", crop, folder), "--resume")
    name = "reconstruction.png"
    assert (folder / name).read_bytes() == (finished("inpaint") / name).read_bytes()
    assert os.listdir(folder / "latents") == ["6"]


def _spoil(tree: dict) -> None:
    tree["state.best.w"][0, 3] = np.nan


def _shorten(tree: dict) -> None:
    tree["losses.total"] = tree["losses.total"][:2]


def _drop(tree: dict) -> None:
    del tree["state.optimizer.nu.w"]


@pytest.mark.parametrize(
    ("change", "named"), [(_spoil, "state.best.w"), (_shorten, "losses.total"), (_drop, "state.optimizer.nu.w")]
)
def test_damaged_checkpoints_are_told(finished, crop, tmp_path, change, named):
    folder = _unfinished(finished("inpaint"), tmp_path / "run")
    with ocp.CheckpointManager((folder / "latents").absolute()) as manager:
        tree = jax.tree.map(np.array, manager.restore(6, args=ocp.args.StandardRestore()))
        change(tree)
        manager.delete(6)
        manager.save(6, args=ocp.args.StandardSave(tree))
    before = contents(folder)
    code, stderr = call(*crop_arguments("inpaint", crop, folder), "--resume")
    assert code == 2 and stderr.count("\n") == 1
    assert f"latents: {named} missing, misshapen or NaN; start again with --overwrite." in stderr
    assert contents(folder) == before


def test_unreadable_checkpoints_are_told(finished, crop, tmp_path):
    folder = _unfinished(finished("inpaint"), tmp_path / "run")
    for path in (folder / "latents" / "6" / "default").rglob("d/*"):
        path.write_bytes(path.read_bytes()[:10])
    code, stderr = call(*crop_arguments("inpaint", crop, folder), "--resume")
    assert code == 2 and stderr.count("\n") == 1 and "Traceback" not in stderr
    assert re.search("latents cannot be read: .*; start again with --overwrite", stderr)


def test_a_full_disk_is_told_and_the_run_can_go_on(finished, crop, tmp_path, monkeypatch):
    def fail(path, pictures):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(images, "write_gif", fail)
        code, stderr = call(*crop_arguments("inpaint", crop, tmp_path / "out"))
    assert code == 2 and "Traceback" not in stderr
    assert last_line(stderr) == (
        f"{PROG}: error: {tmp_path}/out: No space left on device; make room or give access, "
        "then repeat the command with --resume."
    )
    succeed(*crop_arguments("inpaint", crop, tmp_path / "out"), "--resume")
    for name in ("reconstruction.png", "losses.csv", "progress.gif"):
        assert (tmp_path / "out" / name).read_bytes() == (finished("inpaint") / name).read_bytes(), name


@pytest.fixture
def tiny_disk(tmp_path):
    """An empty file system of 200 kB; `tiny_disk(size)` enlarges it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount a file system: {mounted.stderr.strip()}")
    yield disk, lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full(finished, crop, tiny_disk):
    disk, enlarge = tiny_disk
    arguments = (*crop_arguments("inpaint", crop, disk / "out"), "--checkpoint-seconds", 0)
    code, stderr = call(*arguments)
    assert code == 2 and "Traceback" not in stderr
    assert f"error: {disk}/out: No space left on device" in last_line(stderr) and "--resume" in last_line(stderr)
    enlarge("8m")
    succeed(*arguments, "--resume")
    name = "reconstruction.png"
    assert (disk / "out" / name).read_bytes() == (finished("inpaint") / name).read_bytes()


def test_ctrl_c_saves_the_state_and_says_how_to_go_on(finished, crop, tmp_path, monkeypatch):
    advance = Batch.advance

    def interrupt(self, chunk_steps):
        os.kill(os.getpid(), signal.SIGINT)
        return advance(self, chunk_steps)

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "advance", interrupt)
        code, stderr = call(*crop_arguments("inpaint", crop, tmp_path / "out"))
    assert code == 130
    said = f"{PROG}: interrupted. To go on with {tmp_path}/out, repeat the command with --resume."
    assert last_line(stderr) == said
    assert os.listdir(tmp_path / "out" / "latents") == ["3"]
    stderr = succeed(*crop_arguments("inpaint", crop, tmp_path / "out"), "--resume")
    assert "| 3/6 [" in stderr and "| 0/6 [" not in stderr
    for name in ("reconstruction.png", "losses.csv", "latents.npz"):
        assert (tmp_path / "out" / name).read_bytes() == (finished("inpaint") / name).read_bytes(), name


def test_a_loss_that_is_not_finite_is_told(crop, tmp_path, monkeypatch):
    start = optimization.initial_state

    def start_broken(*arguments):
        state = start(*arguments)
        return state._replace(latents=state.latents._replace(w=state.latents.w * jnp.nan))

    monkeypatch.setattr(optimization, "initial_state", start_broken)
    code, stderr = call(*crop_arguments("inpaint", crop, tmp_path / "out"))
    assert code == 2 and "Traceback" not in stderr
    assert f"error: {tmp_path}/out: the loss is nan at step 0; lower the learning rate" in last_line(stderr)
    assert last_line(stderr).endswith("Start again with --overwrite.")


# The help.


@pytest.fixture(scope="module")
def help_text():
    with contextlib.redirect_stdout(io.StringIO()) as stdout, pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    return re.sub(r"[\s│]+", " ", stdout.getvalue())


def test_defaults_in_the_help_are_those_of_every_task(help_text):
    for field, sentence in (
        ("steps", "Optimisation steps."),
        ("learning_rate", "Adam's largest step size."),
        ("latent_space", "One latent for all layers, or one per layer."),
        ("noise_reg_weight", "Weight that keeps the noise maps white."),
    ):
        (told,) = re.findall(rf"{re.escape(sentence)} Default: (\S+)\. \(default", help_text)
        for task in TASKS:
            default = getattr(jaxgan.InversionConfig.for_task(task), field)
            assert told == default if isinstance(default, str) else float(told) == default, (field, task)
    (told,) = re.findall(r"from the mean latent\. Default: (.*?)\. \(default", help_text)
    weights = dict.fromkeys(TASKS, float(told.rsplit("else ", 1)[1]))
    weights |= {task: float(weight) for weight, task in re.findall(r"([\d.]+) for (\w+)", told)}
    assert weights == {task: jaxgan.InversionConfig.for_task(task).latent_dist_reg_weight for task in TASKS}


def test_the_help_names_every_file(help_text, sample):
    for name in FILES - {"snapshots"}:
        assert name in help_text
