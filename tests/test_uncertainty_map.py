"""The option --uncertainty of `experiments.invert`: its files, its starts, resumed runs and whole photographs.

All runs are of the random network and have 6 steps in 2 chunks, a face at a time, in one compiled program.
"""

import dataclasses
import os
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from commands import FILES, QUICK, assert_same, call, contents, events, pixels, record, succeed
from PIL import Image
from scipy import ndimage

from experiments.options import Completion, Damage, FaceChoice, InvertOptions, Seeds
from experiments.restore import crops, paste_back, photograph
from experiments.restore.jobs import Job
from experiments.runs import spread_picture
from experiments.studies import uncertainty as study
from jaxgan import InversionConfig, images
from jaxgan.batch import Batch
from jaxgan.methods import Method
from jaxgan.photos import photo_files

pytestmark = pytest.mark.usefixtures("narrow_lpips")

SAMPLES = ("sample-00", "sample-01", "sample-02")
HOLE = np.s_[7:12, 5:11]  # of the box, at 16 pixels: 0.45 to 0.75 of the height and 0.3 to 0.7 of the width
NETWORK = type("Network", (), {"resolution": 64, "alignment_scale": 0.74})


@pytest.fixture(scope="module")
def command(crop, tiny_network) -> tuple:
    """The command without its starts and its output folder."""
    options = ("--task", "inpaint", "--mask-kind", "box", *QUICK, "--model", tiny_network, "--batch-size", 1)
    return (*options, "--image", crop, "--output")


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory) -> tuple[Path, str]:
    """The folder of a run of three starts, and its last line."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    stderr = succeed(*command, folder, "--uncertainty", 3, "--seed", 4)
    return folder, stderr.splitlines()[-1]


def test_the_best_sample_is_the_result_with_the_map_and_the_strip(whole):
    folder, said = whole
    assert {path.name for path in folder.iterdir()} == {
        *FILES,
        *SAMPLES,
        *("uncertainty.png", "uncertainty.npz", "samples.png"),
    }
    facts = record(folder)
    distances = {
        name: record(folder / name)["result"]["reconstruction"]["against_observed"]["lpips"] for name in SAMPLES
    }
    assert len(set(distances.values())) == 3
    assert facts["uncertainty"]["distances"] == distances and facts["kept"] == min(distances, key=distances.get)
    assert_same(folder, folder / facts["kept"])
    near = sum(distance <= 1.1 * min(distances.values()) for distance in distances.values())
    assert facts["uncertainty"]["share_within_10_percent"] == near / 3
    assert facts["uncertainty"]["samples"] == sorted(SAMPLES, key=distances.get)
    assert f"out/uncertainty.png: {near} of 3 starts explain the observation within 10 % of the best one" in said
    assert pixels(folder / "samples.png").shape == (256 + 44, 5 * 256 + 4 * 4, 3)  # observed, three, their mean


def test_the_map_is_the_spread_of_the_samples_and_zero_where_observed(whole):
    folder, _ = whole
    restorations = np.stack([pixels(folder / name / "restoration.png") for name in SAMPLES]).astype(float)
    with np.load(folder / "uncertainty.npz") as file:
        spread, mean = file["spread"], file["mean"]
    assert spread.shape == (16, 16) and spread.dtype == np.float32
    np.testing.assert_allclose(spread, np.sqrt(restorations.var(0, ddof=1).mean(-1)), rtol=1e-6)
    np.testing.assert_array_equal(mean, np.rint(restorations.mean(0)))
    hole = np.zeros((16, 16), bool)
    hole[HOLE] = True
    assert not spread[~hole].any()
    inside = ndimage.binary_erosion(hole)
    assert spread[inside].mean() > 1.2 * spread[hole & ~inside].mean() > 0
    np.testing.assert_allclose(record(folder)["uncertainty"]["mean_spread"], spread[hole].mean(), rtol=1e-6)
    assert record(folder)["uncertainty"]["unobserved_share"] == 30 / 256


def test_the_first_start_is_that_of_the_seed_alone_and_the_others_are_not(whole, command, tmp_path):
    folder, _ = whole
    succeed(*command, tmp_path / "alone", "--seed", 4)
    assert_same(folder / "sample-00", tmp_path / "alone")
    before = contents(tmp_path / "alone")
    code, stderr = call(*command, tmp_path / "alone", "--uncertainty", 2, "--resume")
    assert code == 2 and "alone holds another run; add --overwrite to replace it" in stderr
    assert contents(tmp_path / "alone") == before
    maps = [np.load(folder / name / "latents.npz")["noise_4"] for name in SAMPLES]
    assert abs(np.corrcoef([map_.ravel() for map_ in maps]) - np.eye(3)).max() < 0.3  # other noise each


def test_restarts_are_what_they_were(crop, tiny):
    """Each seed has its own key and begins at the guess, as the seed alone does."""
    options = InvertOptions(Damage("inpaint"), seeds=Seeds(seed=3, restarts=2))
    job = Job.of(crop, crop.parent, options)
    assert [start.folder for start in job.starts] == ["seed-3", "seed-4"]
    for seed, (key, offset) in zip((3, 4), photograph._spread(job, 0, tiny), strict=True):
        alone = Job.of(crop, crop.parent, dataclasses.replace(options, seeds=Seeds(seed=seed)))
        assert photograph._spread(alone, 0, tiny) == [(key, None)] and offset is None


def test_a_run_that_was_stopped_between_samples_ends_with_the_same_files(whole, command, tmp_path, monkeypatch):
    """The second sample has had the first of its two chunks, the third one nothing."""
    advance, chunks = Batch.advance, []

    def interrupt(self, chunk_steps):
        chunks.append(chunk_steps)
        if len(chunks) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(self, chunk_steps)

    options = (*command, tmp_path / "out", "--uncertainty", 3, "--seed", 4)
    with monkeypatch.context() as patch:
        patch.setattr(Batch, "advance", interrupt)
        code, _ = call(*options)
    assert code == 130 and not (tmp_path / "out" / "uncertainty.png").exists()
    assert succeed(*options, "--resume").count("is finished already; nothing to resume.") == 1
    expected = contents(whole[0])
    for name in ("uncertainty.png", "uncertainty.npz", "samples.png"):
        assert contents(tmp_path / "out")[name] == expected[name], name
    for name in SAMPLES:
        assert_same(tmp_path / "out" / name, whole[0] / name)


def test_photographs_on_record_have_a_map_each(command, tmp_path):
    root = tmp_path / "out"
    arguments = (*command, root, "--shard", "1/1", "--uncertainty", 2)
    succeed(*arguments)
    assert (root / "crop" / "uncertainty.npz").exists()
    items = [line["item"] for line in events(root, "manifest-1-of-1.jsonl") if line.get("state") == "finished"]
    assert items == ["crop/sample-00", "crop/sample-01", "crop"]
    assert "uncertainty: 2 then, 3 now" in call(*arguments[:-1], 3, "--resume")[1]


def test_given_latents_are_spread_and_get_other_noise(tiny):
    config = InversionConfig.for_task("inpaint")
    w, offset = np.ones((tiny.config.num_ws, tiny.config.w_dim), np.float32), jnp.linspace(0, 1, tiny.config.w_dim)
    noise = [np.zeros(shape, np.float32) for shape in tiny.config.noise_shapes]
    first, second = (
        photograph._started(tiny, config, jax.random.key(0), w, noise, each)[0].latents for each in (None, offset)
    )
    np.testing.assert_array_equal(first.w, w)
    np.testing.assert_array_equal(second.w, w + np.asarray(offset))
    assert not first.noise[4].any() and second.noise[4].std() > 0.5


# Whole photographs.


def finished(path: Path, damage: Damage) -> tuple[Job, list]:
    """A photograph with one face, whose run left a restoration and a map of 10 levels where nothing was observed."""
    faces = FaceChoice(eyes=("203,101,246,103",))  # of the sample portrait, read off by eye
    inversion = Method.of(InversionConfig.for_task(damage.task, *damage.also))
    asked = (damage, Completion(), faces, False, None, "default", inversion, None, (0,), None, "png", 25, 30.0, {}, 8)
    job = Job(path, path.parent, *asked)
    (face,) = crops.load(job, NETWORK, say=print)
    for name in ("reconstruction", "restoration"):
        images.write_png(path.parent / f"{name}.png", face.pixels)
    spread = np.full((64, 64), 10, np.float32) if face.mask is None else np.float32(10) * (face.mask < 0.5)
    np.savez(path.parent / "uncertainty.npz", spread=spread)
    return job, [(face, path.parent)]


def test_the_map_of_a_photograph_is_zero_outside_of_its_holes(tmp_path):
    """And where a hole lies far from the face, there is nothing to compare."""
    photo = photo_files.read_photo(photo_files.sample_photo_path())
    mask = np.full(photo.shape[:2], 255, np.uint8)
    mask[90:130, 200:240], mask[400:420, 20:60] = 0, 0
    Image.fromarray(photo).save(tmp_path / "photo.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    job, faces = finished(
        tmp_path / "photo.png", Damage("inpaint", mask=tmp_path / "mask.png", already_degraded=True, trust_mask=True)
    )
    paste_back.write(job, faces, 64, say=print)
    with np.load(tmp_path / "restored_uncertainty.npz") as file:
        spread = file["spread"]
    assert spread.shape == photo.shape[:2] and not spread[mask > 0].any()
    assert np.isnan(spread[400:420, 20:60]).all() and not np.isnan(spread[:400]).any()
    np.testing.assert_allclose(spread[95:125, 205:235], 10, rtol=1e-4)
    picture = pixels(tmp_path / "restored_uncertainty.png")
    assert picture.shape[1] == 512 and picture.shape[0] > 512  # with its legend
    assert not np.ptp(picture[:512][mask > 0], axis=-1).any()  # grey
    assert picture[110, 220, 0] > picture[110, 220, 2] and picture[410, 40, 2] > picture[410, 40, 0]


def test_the_map_of_a_replaced_face_fades_out_with_it(tmp_path):
    Image.fromarray(photo_files.read_photo(photo_files.sample_photo_path())).save(tmp_path / "photo.png")
    job, faces = finished(tmp_path / "photo.png", Damage("deblur", already_degraded=True))
    paste_back.write(job, faces, 64, say=print)
    with np.load(tmp_path / "restored_uncertainty.npz") as file:
        spread = file["spread"]
    middle = faces[0][0].placement.corners.mean(axis=0).astype(int)
    np.testing.assert_allclose(spread[middle[1], middle[0]], 10, rtol=1e-4)
    restored, photo = (pixels(tmp_path / name) for name in ("restored.png", "photo.png"))
    assert not spread[450:].any() and (restored[450:] == photo[450:]).all() and 0 <= spread.min() < spread.max() < 10.1


def test_colours_say_how_far_samples_differ():
    grey = np.full((1, 5, 3), 100, np.uint8)
    spread = np.array([[0, 5, 20, 400, np.nan]])
    found = spread_picture.coloured(grey, spread).astype(int)[0]
    np.testing.assert_array_equal(found[0], 100)
    first = spread_picture.COLOURS[0] + (spread_picture.COLOURS[1] - spread_picture.COLOURS[0]) * 3 / 8  # 5 of 40 / 3
    np.testing.assert_allclose(found[1], 20 + 0.8 * first, atol=0.5)
    np.testing.assert_allclose(found[3], 20 + 0.8 * spread_picture.COLOURS[-1], atol=0.5)
    np.testing.assert_allclose(found[4], 20 + 0.8 * np.array(spread_picture.WITHOUT_ESTIMATE), atol=0.5)
    assert spread_picture.legend(200, has_unknown=True).shape[1] == 200


def test_a_study_judges_the_hole_and_calibrates(monkeypatch):
    """Samples around the truth, but three times too near to each other; the pixels outside are never looked at."""
    rows = []
    for seed in range(2):
        draw = np.random.default_rng(seed).normal(size=(17, 24, 24, 3))
        scale = np.linspace(2, 12, 24)[:, None]
        levels = [np.clip(np.rint(128 + scale * each), 0, 255).astype(np.uint8) for each in (draw[0], draw[1:] / 3)]
        mask = np.ones((24, 24), np.float32)
        mask[:, 4:20] = 0
        levels[0][mask > 0] = 255
        rows.append({"damage": "box", "images": {"truth": levels[0], "samples": levels[1], "mask": mask}})
    judged = study._judged(rows[0])
    assert judged["mean_error"] < 12 and judged["samples"] == 16  # 127 and more outside
    assert 0.2 < judged["coverage"] < 0.5 and judged["correlation"] > 0.4
    wanted = study._wanted_factor(rows)
    assert 2 < wanted < 4
    monkeypatch.setitem(study.FACTORS, "box", wanted)
    assert abs(study._calibrated_coverage(rows[0]) - 0.8) < 0.05
    monkeypatch.setitem(study.FACTORS, "box", 1.0)
    assert abs(study._calibrated_coverage(rows[0]) - judged["coverage"]) < 1e-9
