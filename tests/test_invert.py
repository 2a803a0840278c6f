"""The command `experiments.invert` on one photograph: the files that it writes, and what its options change.

All runs are of the random network and have 6 steps in 2 chunks; a task is compiled once for all of them.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from commands import FILES, PROG, QUICK, assert_same, call, contents, pixels, record, refused, succeed
from PIL import Image
from scipy import ndimage

import jaxgan
from experiments.invert import main
from experiments.options import Damage
from experiments.restore import degrade
from jaxgan import GeneratorConfig, checkpoints, images, masks
from jaxgan.photos import alignment, faces, photo_files

pytestmark = pytest.mark.usefixtures("narrow_lpips")

TASKS = ("invert", "inpaint", "deblur", "colorize")
RUN = ("inpaint", "deblur")
"""Tasks that are run: a program each. The others differ in the observed picture only, which is tested without a run."""
OF_TASK = {"inpaint": ("--mask-kind", "box"), "deblur": ("--sigma", 0.8)}
HOLE = np.s_[7:12, 5:11]  # of the box, at 16 pixels: 0.45 to 0.75 of the height and 0.3 to 0.7 of the width


@pytest.fixture(scope="module")
def arguments(crop, tiny_network):
    """`arguments(task, output)` of a command."""

    def get(task: str, output: Path) -> tuple:
        options = ("--task", task, *OF_TASK.get(task, ()), *QUICK, "--model", tiny_network)
        return (*options, "--image", crop, "--output", output)

    return get


@pytest.fixture(scope="module")
def finished(arguments, tmp_path_factory):
    """`finished(task)`: the output folder of a run; not to be changed."""
    parent, folders = tmp_path_factory.mktemp("finished"), {}

    def get(task: str) -> Path:
        if task not in folders:
            folders[task] = parent / task
            succeed(*arguments(task, folders[task]))
        return folders[task]

    return get


# Files.


@pytest.mark.parametrize("task", RUN)
def test_all_pictures_are_readable(finished, crop, task):
    folder = finished(task)
    assert {path.name for path in folder.iterdir()} == FILES
    for name in ("truth", "observed", "reconstruction", "restoration"):
        assert pixels(folder / f"{name}.png").shape == (16, 16, 3)
    np.testing.assert_array_equal(pixels(folder / "truth.png"), pixels(crop))
    with Image.open(folder / "loss.png") as plot:
        plot.load()
        assert min(plot.size) > 300
    assert sorted(os.listdir(folder / "snapshots")) == ["step_000003.png", "step_000006.png"]
    with Image.open(folder / "progress.gif") as gif:
        assert (gif.n_frames, gif.size) == (3, (256, 256))


def test_the_panel_shows_the_pictures_enlarged(finished):
    folder = finished("inpaint")
    panel = pixels(folder / "panel.png")
    assert panel.shape == (256 + 44, 4 * 256 + 3 * 4, 3)  # four pictures below two lines
    for index, name in enumerate(("observed", "reconstruction", "restoration", "truth")):
        tile = panel[44:, 260 * index : 260 * index + 256]
        np.testing.assert_array_equal(tile, pixels(folder / f"{name}.png").repeat(16, 0).repeat(16, 1))


def test_observed_pictures(finished, crop):
    truth = pixels(crop)

    def observed(task: str) -> np.ndarray:
        return images.to_uint8(np.asarray(degrade.observe(Damage(task), truth).observed))

    np.testing.assert_array_equal(observed("invert"), truth)
    gray = observed("colorize").astype(int)
    assert (np.ptp(gray, axis=-1) == 0).all() and abs(gray[:, :, 0] - truth.mean(-1)).max() <= 0.5 + 1e-3
    blurred = ndimage.gaussian_filter(truth.astype(float), 0.8, mode="mirror", radius=15, axes=(0, 1))
    assert abs(pixels(finished("deblur") / "observed.png") - blurred).max() <= 0.5 + 1e-3
    kept = np.ones((16, 16), bool)
    kept[HOLE] = False
    inpainted = pixels(finished("inpaint") / "observed.png")
    np.testing.assert_array_equal(inpainted[kept], truth[kept])
    assert len(np.unique(inpainted[~kept], axis=0)) == 1


@pytest.mark.parametrize("damage", [Damage("deblur", sigma=1.1), Damage("colorize"), Damage("inpaint")])
def test_the_observed_is_a_picture_of_8_bits(damage):
    """As a camera would have stored it, so that the loop sees no more than observed.png shows."""
    truth = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    observed, assumed = degrade.observe(damage, truth)
    observed = np.asarray(observed)
    levels = (observed + 1) * 127.5
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    assert (
        1e-3 < abs(observed - np.asarray(degrade.apply(assumed, images.to_float(truth)))).max() <= 1 / 255 + 1e-6
    )  # rounded, and by half a level


@pytest.mark.parametrize("task", RUN)
def test_config_json_holds_everything_that_repeats_the_run(finished, crop, task, tiny_network):
    facts = record(finished(task))
    settings, result = facts["settings"], facts["result"]
    assert facts["started"] <= facts["finished"]
    assert settings["damage"]["task"] == task and settings["seed"] == 0 and settings["already_aligned"]
    assert settings["inversion"][0]["steps"] == 6 and settings["generator"]["resolution"] == 16
    assert settings["networks"]["model"] == tiny_network and settings["image"] == str(crop)
    assert settings["image_sha256"] == hashlib.sha256(crop.read_bytes()).hexdigest()
    assert facts["versions"]["jax"] == jax.__version__ and facts["versions"].keys() >= {"orbax-checkpoint", "device"}
    truth = pixels(finished(task) / "truth.png").astype(float)
    for name in ("reconstruction", "restoration"):
        for pair in ("against_truth", "against_observed"):
            measured = result[name][pair]
            assert measured.keys() >= {"psnr", "ssim", "lpips"}
            assert measured["lpips_size"] == result["loss_lpips_size"] == 16
        error = pixels(finished(task) / f"{name}.png") - truth
        np.testing.assert_allclose(result[name]["against_truth"]["psnr"], 10 * np.log10(255**2 / (error**2).mean()))
    assert result["restoration"]["inverse"] == {"inpaint": "spline in tension", "deblur": "conditional mean"}[task]
    # Of rounding, 1 / sqrt(12) levels, to which a blur adds 0.75.
    expected = {"inpaint": 0.289, "deblur": 0.804}[task]
    np.testing.assert_allclose(result["restoration"]["noise"], expected, atol=0.001)


def test_a_restoration_keeps_what_was_observed(finished):
    """Outside of the hole bit for bit; in it, and before the blur, it is the reconstruction plus a correction."""
    kept = np.ones((16, 16), bool)
    kept[HOLE] = False
    observed, reconstruction, restoration = (
        pixels(finished("inpaint") / f"{name}.png").astype(int)
        for name in ("observed", "reconstruction", "restoration")
    )
    np.testing.assert_array_equal(restoration[kept], observed[kept])
    assert (restoration[HOLE] != reconstruction[HOLE]).any()
    assert record(finished("inpaint"))["result"]["restoration"]["against_observed"]["psnr"] is None  # equal
    blurred = record(finished("deblur"))["result"]
    assert blurred["restoration"]["against_observed"]["psnr"] > blurred["reconstruction"]["against_observed"]["psnr"]


def test_losses_csv_has_a_row_per_step_that_adds_up(finished):
    folder = finished("inpaint")
    with open(folder / "losses.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    weights = record(folder)["settings"]["inversion"][0]
    assert weights["latent_dist_reg_weight"] > 0 and [row["step"] for row in rows] == list(range(6))
    for row in rows:
        total = (
            row["perceptual"]
            + weights["noise_reg_weight"] * row["noise_regularizer"]
            + weights["latent_dist_reg_weight"] * row["latent_distance"]
        )
        np.testing.assert_allclose(row["total"], total, rtol=1e-6)  # float32
    assert rows[0]["learning_rate"] == 0 and max(row["learning_rate"] for row in rows) > 0
    result = record(folder)["result"]
    assert result["returned_step"] == np.argmin([row["total"] for row in rows])
    np.testing.assert_allclose(result["loss"], min(row["total"] for row in rows), rtol=1e-6)


def test_the_latents_render_the_reconstruction(finished, tiny_network):
    folder = finished("inpaint")
    with np.load(folder / "latents.npz") as file:
        ws = jnp.asarray(file["ws"])
        noise = tuple(jnp.asarray(file[f"noise_{index}"]) for index in range(len(file.files) - 2))
        np.testing.assert_array_equal(file["w"], ws[None])  # under the name that projectors write
    assert ws.shape == (6, 8) and [len(map_) for map_ in noise] == [4, 8, 8, 16, 16]
    image = images.to_uint8(np.asarray(jax.jit(jaxgan.load_generator(tiny_network).synthesis)(ws, noise)))
    difference = abs(image.astype(int) - pixels(folder / "reconstruction.png"))
    assert difference.max() <= 1 and difference.mean() < 0.01  # another compilation may round another way


def test_the_checkpoint_is_readable_by_other_programs(finished):
    folder = finished("inpaint")
    assert os.listdir(folder / "latents") == ["6"]
    with ocp.StandardCheckpointer() as checkpointer:
        tree = checkpointer.restore((folder / "latents" / "6" / "default").absolute())
    with np.load(folder / "latents.npz") as file:
        np.testing.assert_array_equal(np.broadcast_to(tree["state.best.w"], (6, 8)), file["ws"])
        np.testing.assert_array_equal(tree["state.best.noise.4"], file["noise_4"])
    assert tree["state.step"] == 6 and tree["losses.total"].shape == (6,)


def test_a_repeated_run_gives_the_same_files_and_shows_a_bar_and_one_line(finished, arguments, tmp_path):
    stderr = succeed(*arguments("inpaint", tmp_path / "out"))
    assert_same(tmp_path / "out", finished("inpaint"))
    *bars, last = [line for line in stderr.replace("\r", "\n").splitlines() if line]
    assert bars and all("step/s" in line or "s/step" in line for line in bars)
    numbers = r"-?[\d.]+ dB, LPIPS at 16 px [\d.]+"
    assert re.fullmatch(
        rf"{tmp_path}/out/restoration.png: against truth: {numbers}, against observed: equal; "
        rf"reconstruction.png: against truth: {numbers}, against observed: {numbers} \(found in step \d\)",
        last,
    )


@pytest.mark.skipif(find_spec("dlib") is None, reason="needs the package dlib-bin")
def test_without_options_the_face_of_the_sample_portrait_is_found(tiny_network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    succeed("--task", "inpaint", *QUICK[:-1], "--model", tiny_network)
    folder = tmp_path / "outputs" / "inpaint-astronaut"
    assert {path.name for path in folder.iterdir()} == FILES
    face = faces.find_faces(photo_files.read_photo(photo_files.sample_photo_path()))[0]
    expected = alignment.align(photo_files.read_photo(photo_files.sample_photo_path()), face.landmarks, 16)
    np.testing.assert_array_equal(pixels(folder / "truth.png"), expected)
    assert record(folder)["settings"]["image"].endswith("astronaut.png")


# Options.


def test_degradations_are_applied_in_the_order_of_a_camera(crop):
    """Blur, then gray, then scratches, however they are listed."""
    photo = images.to_float(pixels(crop))
    gray = ndimage.gaussian_filter(photo, 0.8, mode="mirror", radius=15, axes=(0, 1)).mean(-1, keepdims=True)
    kept = masks.strokes(0, 16)[:, :, None] == 1
    for order in (("inpaint", "colorize", "deblur"), ("deblur", "inpaint", "colorize")):
        observed, assumed = degrade.observe(Damage(order[0], also=order[1:], sigma=0.8), pixels(crop))
        # largest seen: 2.4e-7, and half a level of 8 bits
        for degraded, tolerance in ((assumed(jnp.asarray(photo)), 2e-6), (observed, 1.001 / 255)):
            np.testing.assert_allclose(np.where(kept, np.asarray(degraded) - gray, 0), 0, atol=tolerance)
            assert len(np.unique(np.asarray(degraded)[~kept[:, :, 0]], axis=0)) == 1


def test_a_mask_file_marks_damage_and_its_content_does_not_matter(arguments, crop, tmp_path):
    """With --already-degraded, black or white scratches give the same result to the last bit."""
    mask = np.full((16, 16, 3), 255, np.uint8)
    mask[HOLE] = 0
    images.write_png(tmp_path / "mask.png", mask)
    options = ("--mask-kind", "strokes", "--mask", tmp_path / "mask.png", "--already-degraded")
    folders = []
    for colour in (0, 255):
        path = tmp_path / f"photo-{colour}" / "photo.png"  # its name decides the first noise maps
        path.parent.mkdir()
        images.write_png(path, np.where(mask == 0, np.uint8(colour), pixels(crop)))
        folders.append(tmp_path / str(colour))
        succeed(*arguments("inpaint", folders[-1]), *options, "--image", path)
    assert contents(folders[0])["reconstruction.png"] == contents(folders[1])["reconstruction.png"]
    assert not (folders[0] / "truth.png").exists()
    facts = record(folders[0])
    assert "against_truth" not in facts["result"]["restoration"] and facts["settings"]["mask_sha256"]
    assert pixels(folders[0] / "panel.png").shape[1] == 3 * 256 + 2 * 4


def test_masks_of_a_crop():
    half = degrade.crop_mask(Damage("inpaint", mask_kind="half"), 16)
    assert (half[:, :8] == 1).all() and (half[:, 8:] == 0).all()
    box = degrade.crop_mask(Damage("inpaint", mask_kind="box", mask_box=(0.25, 0.5, 0.5, 0.75)), 16)
    expected = np.ones((16, 16))
    expected[8:12, 4:8] = 0
    np.testing.assert_array_equal(box, expected)


def test_the_optimiser_may_assume_another_blur(finished, arguments, tmp_path):
    succeed(*arguments("deblur", tmp_path / "out"), "--assume-sigma", 2)
    right, wrong = contents(finished("deblur")), contents(tmp_path / "out")
    assert wrong["observed.png"] == right["observed.png"]
    assert wrong["reconstruction.png"] != right["reconstruction.png"]


def test_the_best_seed_is_kept_and_all_are_saved(arguments, tmp_path):
    options = (*arguments("inpaint", tmp_path / "out"), "--restarts", 3, "--seed", 4, "--batch-size", 1)
    succeed(*options)
    distances = {}
    for seed in (4, 5, 6):
        facts = record(tmp_path / "out" / f"seed-{seed}")
        assert facts["settings"]["seed"] == seed
        distances[f"seed-{seed}"] = facts["result"]["reconstruction"]["against_observed"]["lpips"]
    kept = record(tmp_path / "out")
    assert kept["restarts"] == distances and kept["kept"] == min(distances, key=distances.get)
    assert len(set(distances.values())) == 3
    assert_same(tmp_path / "out", tmp_path / "out" / kept["kept"])
    assert os.listdir(tmp_path / "out" / "latents") == ["6"]
    assert succeed(*options, "--resume").count("is finished already; nothing to resume.") == 3
    other = max(distances, key=distances.get)
    succeed(*options, "--resume", "--keep", other)
    assert record(tmp_path / "out")["kept"] == other
    assert_same(tmp_path / "out", tmp_path / "out" / other)


# Folders of earlier runs.


def test_an_existing_run_is_kept_unless_told_otherwise(finished, arguments, tmp_path):
    folder = shutil.copytree(finished("inpaint"), tmp_path / "run")
    (folder / "note.txt").write_text("of the earlier run")
    before = contents(folder)
    assert "holds another run; add --resume to continue it, --overwrite to replace" in refused(
        *arguments("inpaint", folder)
    )
    stderr = succeed(*arguments("inpaint", folder), "--resume", "--checkpoint-seconds", 1)  # which decides nothing
    assert stderr == f"{folder} is finished already; nothing to resume.\n"
    assert contents(folder) == before
    succeed(*arguments("inpaint", folder), "--overwrite", "--seed", 5)
    assert not (folder / "note.txt").exists() and record(folder)["settings"]["seed"] == 5
    assert contents(folder)["reconstruction.png"] != before["reconstruction.png"]  # another seed, another result


def test_a_run_is_not_resumed_with_other_settings(finished, arguments, crop, tmp_path):
    folder = shutil.copytree(finished("inpaint"), tmp_path / "run")
    images.write_png(tmp_path / "crop.png", pixels(crop)[:, ::-1])
    before = contents(folder)
    for options, said in (
        (("--seed", 4), "seed: 0 then, 4 now"),
        (("--learning-rate", 0.05), "learning_rate: 0.1 then, 0.05 now"),
        (("--image", tmp_path / "crop.png"), "image_sha256: "),
    ):
        message = refused(*arguments("inpaint", folder), *options, "--resume")
        assert "was started with other settings" in message and said in message
    assert "task: inpaint then, deblur now" in refused(*arguments("deblur", folder), "--resume")
    assert contents(folder) == before


def test_nothing_is_replaced_before_the_photograph_can_be_read(finished, arguments, tmp_path):
    folder = shutil.copytree(finished("inpaint"), tmp_path / "run")
    before = contents(folder)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    refused(*arguments("inpaint", folder), "--image", tmp_path / "broken.png", "--overwrite")
    refused(*arguments("inpaint", folder), "--lpips", tmp_path, "--overwrite")
    assert contents(folder) == before


# Mistakes that show when files are read.


@pytest.fixture(scope="module")
def unusable(tmp_path_factory) -> Path:
    """A folder of files that cannot be used."""
    folder = tmp_path_factory.mktemp("unusable")
    (folder / "truncated.png").write_bytes(photo_files.sample_photo_path().read_bytes()[:50_000])
    images.write_png(folder / "dot.png", np.zeros((1, 1, 3), np.uint8))
    images.write_png(folder / "wide.png", np.zeros((40, 80, 3), np.uint8))
    images.write_png(folder / "small_mask.png", np.full((32, 32, 3), 255, np.uint8))
    images.write_png(folder / "black_mask.png", np.zeros((16, 16, 3), np.uint8))
    (folder / "file").write_text("in the place of a folder")
    network = shutil.copytree(Path(jaxgan.__file__).parent / "data" / "demo", folder / "future")
    settings = json.loads((network / "config.json").read_text()) | {"format_version": 99}
    (network / "config.json").write_text(json.dumps(settings))
    return folder


MISTAKES = {
    "--image {bad}/truncated.png": "truncated.png: damaged or unsupported image",
    "--image {bad}/missing.png": "missing.png: no such file",
    "--image {bad}/dot.png": "the image is 1x1 pixels; expected 16x16 or more",
    "--image {bad}/wide.png": "is 80x40; --already-aligned expects a square face crop",
    "--mask {bad}/small_mask.png": "small_mask.png is 32x32; expected 16x16, the size of the aligned image",
    "--mask {bad}/black_mask.png": "black_mask.png: the mask is black everywhere",
    "--mask {bad}/missing.png": "missing.png: no such file",
    "--mask-kind box --mask-box 0 0 1 1": "the box hides the whole picture",
    "--task deblur --kernel-size 35": "the kernel size is 35; expected an odd number from 1 to 31",
    "--model {bad}/unknown": "unknown is no converted network: it has no config.json",
    "--model {bad}/future": "incompatible version (format 99, this version reads 1)",
    "--lpips {bad}/unknown": "unknown is no converted network",
    "--lpips {model}": "holds a 'jaxgan-generator'; expected a 'jaxgan-lpips'",
    "--output {bad}/file/out": "file/out: Not a directory",
    "--output {bad}/file": "file exists and is no run of this program",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_one_line_and_leave_nothing(line, unusable, crop, tiny_network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = contents(unusable)
    given = line.format(bad=unusable, model=tiny_network).split()
    options = ("--task", "inpaint", *QUICK, "--image", crop, "--model", tiny_network, "--output", "new/out")
    assert MISTAKES[line] in refused(*options, *given)
    assert not os.listdir(tmp_path) and contents(unusable) == before


@pytest.mark.parametrize(
    ("resolution", "channels", "said"),
    [
        (8, 3, "net makes images of 8x8 pixels; expected 16x16 or more."),
        (16, 1, "net makes grey images; colorize needs a network of 3 channels."),
    ],
)
def test_a_network_of_an_unsupported_kind_fails_before_a_folder_appears(
    resolution, channels, said, arguments, tmp_path
):
    from flax import nnx

    sizes = {"w_dim": 8, "z_dim": 8, "channel_base": 64, "channel_max": 8}
    config = GeneratorConfig(resolution, image_channels=channels, **sizes)
    weights = checkpoints.network_arrays(jaxgan.Generator(config, rngs=nnx.Rngs(0)))
    checkpoints.save_generator(tmp_path / "net", config, weights, {})
    assert said in refused(*arguments("colorize", tmp_path / "out"), "--model", tmp_path / "net")
    assert os.listdir(tmp_path) == ["net"]


@pytest.fixture(scope="module")
def classes_and_alpha(tmp_path_factory) -> str:
    """The folder of a network of three classes that makes pictures with an alpha channel."""
    from flax import nnx

    sizes = {"w_dim": 8, "z_dim": 8, "c_dim": 3, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}
    config = GeneratorConfig(16, image_channels=4, **sizes)
    weights = checkpoints.network_arrays(jaxgan.Generator(config, rngs=nnx.Rngs(1)))
    folder = tmp_path_factory.mktemp("networks") / "classes"
    checkpoints.save_generator(folder, config, weights, {})
    return str(folder)


def test_a_label_decides_where_the_inversion_begins(arguments, classes_and_alpha, tmp_path):
    command = (*arguments("inpaint", tmp_path / "1"), "--model", classes_and_alpha)
    assert "label is 3; this generator has the labels 0 to 2" in refused(*command, "--label", 3)
    assert not os.listdir(tmp_path)
    said = {}
    for label in (1, 2):
        said[label] = succeed(*command, "--label", label, "--output", tmp_path / str(label))
        assert record(tmp_path / str(label))["settings"]["networks"]["label"] == label
    said[None] = succeed(*command, "--output", tmp_path / "all")
    assert "knows 3 classes and begins at their mean; --label N chooses one." in said[None]
    assert not any("classes" in said[label] for label in (1, 2))
    pictures = [contents(tmp_path / name)["reconstruction.png"] for name in ("1", "2", "all")]
    assert len(set(pictures)) == 3
    with Image.open(tmp_path / "all" / "reconstruction.png") as made:  # its alpha, but not that of the observed
        assert made.mode == "RGBA"
    assert pixels(tmp_path / "all" / "restoration.png").shape == (16, 16, 3)


def test_an_inversion_begins_with_latents_of_a_file(finished, arguments, tmp_path):
    """With learning rates of nearly nothing it stays where it began."""
    before = finished("inpaint")
    still = ("--init", before / "latents.npz", "--learning-rate", 1e-9)
    succeed(*arguments("inpaint", tmp_path / "out"), *still)
    with np.load(before / "latents.npz") as begun, np.load(tmp_path / "out" / "latents.npz") as ended:
        np.testing.assert_allclose(ended["ws"], begun["ws"], atol=1e-6)
        for name in ("noise_0", "noise_4"):
            np.testing.assert_allclose(ended[name], begun[name], atol=1e-5)  # brought to mean 0 and mean square 1
    settings = record(tmp_path / "out")["settings"]
    assert settings["init"] == str(before / "latents.npz") and len(settings["init_sha256"]) == 64
    assert "no such file of latents" in refused(*arguments("inpaint", tmp_path / "no"), "--init", "absent.npz")
    assert os.listdir(tmp_path) == ["out"]


def test_fidelity_and_noise_change_the_restoration_alone(finished, arguments, tmp_path):
    succeed(*arguments("deblur", tmp_path / "out"), "--fidelity", 1, "--noise", 5)
    asked, plain = contents(tmp_path / "out"), contents(finished("deblur"))
    assert asked["reconstruction.png"] == plain["reconstruction.png"]
    assert asked["restoration.png"] != plain["restoration.png"]
    facts = record(tmp_path / "out")
    assert facts["settings"]["completion"] == {"fidelity": 1.0, "noise": 5.0}
    np.testing.assert_allclose(facts["result"]["restoration"]["noise"], 5)


@pytest.mark.parametrize("wrong", [(), ("--task", "paint"), ("--task", "inpaint", "--colour", "1")])
def test_wrong_arguments_exit_with_2(wrong, capsys):
    with pytest.raises(SystemExit) as caught:
        main(list(wrong))
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(find_spec("dlib") is None, reason="needs the package dlib-bin")
def test_a_photograph_without_a_face_is_told(tiny_network, tmp_path):
    images.write_png(tmp_path / "noise.png", np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))
    options = ("--task", "invert", "--model", tiny_network, "--output", tmp_path / "out")
    assert re.search(r"noise.png: no face found .* --eyes", refused(*options, "--image", tmp_path / "noise.png"))
    assert "there is no face 3; found 1, numbered from 0" in refused(*options, "--face", 3)
    code, stderr = call(*options, "--image", tmp_path / "noise.png", "--face", "all")
    assert code == 2 and stderr.startswith(f"{PROG}: error: ") and not (tmp_path / "out").exists()


# The help.


@pytest.fixture(scope="module")
def help_text():
    with contextlib.redirect_stdout(io.StringIO()) as stdout, pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    return re.sub(r"[\s│]+", " ", stdout.getvalue())


def test_defaults_in_the_help_are_those_of_every_task(help_text):
    for field, sentence in (
        ("steps", "those of robust are shared by its three phases."),
        ("learning_rate", "Adam's largest step size."),
        ("latent_space", "One latent for all layers, one per layer, or one per channel of every layer."),
        ("noise_reg_weight", "Weight that keeps the noise maps white."),
    ):
        (told,) = re.findall(rf"{re.escape(sentence)} \(default: (\w+(?:\.\d+)?)[,)]", help_text)
        for task in TASKS:
            default = getattr(jaxgan.InversionConfig.for_task(task), field)
            assert told == default if isinstance(default, str) else float(told) == default, (field, task)
    (told,) = re.findall(r"without the largest of those\. \(default: (.*?)\)", help_text)
    objectives = {task: "half_pyramid" if task in ("denoise", "dejpeg") else "lpips" for task in TASKS}
    assert told == "half_pyramid for denoise and dejpeg, else lpips"
    assert objectives == {task: jaxgan.InversionConfig.for_task(task).objective for task in TASKS}
    (told,) = re.findall(r"from the mean latent\. \(default: (.*?)\)", help_text)
    told, of_reduced = told.split("; ")
    assert of_reduced == "for upsample with denoise or dejpeg 10"  # which test_validation looks at
    weights = dict.fromkeys(TASKS, float(told.rsplit("else ", 1)[1]))
    weights |= {task: float(weight) for weight, task in re.findall(r"([\d.]+) for (\w+)", told)}
    assert weights == {task: jaxgan.InversionConfig.for_task(task).latent_dist_reg_weight for task in TASKS}


def test_the_help_names_every_file(help_text):
    for name in FILES - {"snapshots"}:
        assert name in help_text
