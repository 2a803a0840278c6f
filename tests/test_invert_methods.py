"""The command `experiments.invert` with other methods than the default one, on a tiny network."""

import csv
import hashlib
import json
import os
import signal
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from commands import FILES, QUICK, assert_same, call, pixels, record, refused, succeed
from parity import call as call_network

import jaxgan
from convert.__main__ import main as convert
from experiments.options import LoopOptions
from jaxgan import checkpoints, images
from jaxgan.batch import Batch
from jaxgan.photos import photo_files
from jaxgan.tuning_image import TuningImage

pytestmark = pytest.mark.usefixtures("narrow_lpips")


@pytest.fixture(scope="module")
def robust(tmp_path_factory, tiny_network):
    """`robust(output)` is a command that inpaints a face crop by two steps in each of three spaces."""
    crop = tmp_path_factory.mktemp("crop") / "crop.png"
    images.write_png(crop, images.resize(photo_files.read_photo(photo_files.sample_photo_path())[40:240, 120:320], 16))
    options = ("--task", "inpaint", "--method", "robust", *QUICK, "--model", tiny_network, "--image", crop, "--output")
    return lambda output: (*options, output)


@pytest.fixture(scope="module")
def whole(robust, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert "W++" in succeed(*robust(folder))  # the space, in the bar
    return folder


def test_the_result_of_every_phase_is_saved(whole, tiny):
    assert {path.name for path in whole.iterdir()} == FILES | {"phases"}
    assert {path.name for path in (whole / "phases").iterdir()} == {
        f"{n}.{e}" for n in ("1-w", "2-w_plus") for e in ("png", "npz")
    }
    facts = record(whole)
    assert facts["settings"]["method"] == "robust"
    assert [one["latent_space"] for one in facts["settings"]["inversion"]] == ["w", "w_plus", "w_plus_plus"]
    measured = facts["result"]["phases"]
    assert measured.keys() == {"1-w", "2-w_plus"}
    assert all(one["against_truth"]["lpips"] > 0 for one in measured.values())
    with np.load(whole / "latents.npz") as file:
        assert file["ws"].shape == (6, 16, 8) and "w" not in file.files and "noise_4" in file.files
        last = call_network(tiny.synthesis, jnp.asarray(file["ws"]))
    with np.load(whole / "phases" / "2-w_plus.npz") as file:
        assert file["ws"].shape == (6, 8)
        second = call_network(tiny.synthesis, jnp.asarray(file["ws"]))
    for image, path in ((last, "reconstruction.png"), (second, "phases/2-w_plus.png")):
        assert abs(pixels(whole / path).astype(int) - images.to_uint8(np.asarray(image))).max() <= 1


def test_the_curves_know_the_phases(whole):
    with open(whole / "losses.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["learning_rate"]) for row in rows] == pytest.approx([0.08, 0.08, 0.02, 0.02, 0.005, 0.005])
    assert [float(row["noise_regularizer"]) for row in rows] == [0] * 6
    assert record(whole)["result"]["returned_step"] == 6


@pytest.mark.parametrize("calls", [1, 2])
def test_a_stopped_run_goes_on_in_its_phase(robust, whole, tmp_path, monkeypatch, calls):
    """After two steps, the whole first phase, and after three, in the middle of the second."""
    original, done = Batch.advance, []

    def advance(self, chunk_steps):
        done.append(chunk_steps)
        if len(done) == calls:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, chunk_steps)

    monkeypatch.setattr(Batch, "advance", advance)
    code, _ = call(*robust(tmp_path / "run"))
    assert code == 130 and os.listdir(tmp_path / "run" / "latents") == [str(calls + 1)]
    monkeypatch.undo()
    stderr = succeed(*robust(tmp_path / "run"), "--resume")
    assert f"| {calls + 1}/6 [" in stderr
    assert_same(tmp_path / "run", whole)
    names = ("phases/1-w.npz", "phases/2-w_plus.png")
    assert [(tmp_path / "run" / n).read_bytes() for n in names] == [(whole / n).read_bytes() for n in names]


def test_latents_of_a_phase_may_begin_another_run(whole, robust, tmp_path):
    """The first step renders what the file holds, and the noise maps are the network's own."""
    succeed(*robust(tmp_path / "run"), "--init", whole / "phases" / "1-w.npz")
    with np.load(whole / "phases" / "1-w.npz") as before, np.load(tmp_path / "run" / "phases" / "1-w.npz") as after:
        moved = np.linalg.norm(after["ws"] - before["ws"])
    assert 0 < moved <= 2 * 0.08 * 1.0001
    with_rows = whole / "phases" / "2-w_plus.npz"
    code, stderr = call(*robust(tmp_path / "other"), "--init", with_rows)
    assert code == 2 and "holds a latent for each layer; the space W" in stderr


# Tuning, after the method with the largest latents.

TUNED = ("--tune", "--tune-steps", "30")


@pytest.fixture(scope="module")
def tuned(robust, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tuned") / "run"
    assert "| 36/36 [" in succeed(*robust(folder), *TUNED)
    return folder


def test_tuning_leaves_a_network_and_both_results(tuned, whole, tiny, tiny_network, tmp_path):
    tuned_files = {"tuned_network", "tuned_reconstruction.png", "tuned_restoration.png", "tuning.csv"}
    assert {path.name for path in tuned.iterdir()} == FILES | {"phases"} | tuned_files
    for name in ("reconstruction.png", "latents.npz", "losses.csv"):  # the inversion is as without tuning
        assert (tuned / name).read_bytes() == (whole / name).read_bytes()
    result = record(tuned)["result"]
    assert result["tuning"]["steps"] == 30 and result["tuning"]["lpips"] != result["tuning"]["first_lpips"]
    observed = (result[name]["against_observed"]["lpips"] for name in ("tuned_reconstruction", "reconstruction"))
    assert next(observed) < next(observed)
    assert pixels(tuned / "panel.png").shape[1] == 6 * 256 + 5 * 4
    network = jaxgan.load_generator(tuned / "tuned_network")
    pivot = json.loads((tuned / "tuned_network" / "config.json").read_text())["conversion"]["pivot"]
    file = tuned / "tuned_network" / pivot["latents"]
    assert pivot["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    with np.load(file) as latents:
        noise = tuple(jnp.asarray(latents[f"noise_{k}"]) for k in range(5))
        image = call_network(network.synthesis, jnp.asarray(latents["ws"]), noise)
    difference = pixels(tuned / "tuned_reconstruction.png").astype(int) - images.to_uint8(np.asarray(image))
    assert abs(difference).max() <= 1
    # Other tools take it, and it comes back.
    assert convert(["export", str(tuned / "tuned_network"), "--output", str(tmp_path / "tuned.pt")]) == 0
    back = ["stylegan2", str(tmp_path / "tuned.pt"), "--like", str(tuned / "tuned_network" / "config.json")]
    assert convert([*back, "--output", str(tmp_path / "back")]) == 0
    ours, again = (checkpoints.network_arrays(one) for one in (network, jaxgan.load_generator(tmp_path / "back")))
    for name, array in ours.items():
        np.testing.assert_array_equal(array, again[name])


@pytest.mark.slow
def test_a_stopped_tuning_goes_on(robust, tuned, tmp_path, monkeypatch):
    """From the checkpoint that it saves as it stops, in the middle of the tuning; the bar knows how far it was."""
    original = TuningImage.problem

    def problem(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(TuningImage, "problem", problem)
    code, _ = call(*robust(tmp_path / "run"), *TUNED)
    assert code == 130 and os.listdir(tmp_path / "run" / "tuning") == ["25"]
    monkeypatch.undo()
    assert "| 31/36 [" in succeed(*robust(tmp_path / "run"), *TUNED, "--resume")
    assert_same(tmp_path / "run", tuned)
    for name in ("tuning.csv", "tuned_restoration.png"):
        assert (tmp_path / "run" / name).read_bytes() == (tuned / name).read_bytes()


def test_options_of_another_method_are_refused(tmp_path):
    for options, expected in (
        (
            ("robust", "--latent-space", "w", "--patience", "3"),
            "--patience, --latent-space: the method robust has its own",
        ),
        (("projector", "--learning-rate", "0.1"), "--learning-rate: the method projector has its own; leave it out"),
        (("default", "--tune-steps", "5"), "--tune-steps belongs to --tune; add that, or leave it out."),
        (("default", "--tune", "--tune-steps", "0"), "--tune-steps is 0; expected 1 or more."),
        (("robust", "--steps", "2"), "--steps is 2; the method robust takes 3 or more, one for each of its phases."),
    ):
        assert refused("--task", "invert", "--output", tmp_path / "out", "--method", *options).startswith(expected)


def test_the_projector_is_the_published_one():
    assert LoopOptions().method("projector", "colorize") == jaxgan.Method.of(jaxgan.InversionConfig.reference())
    chosen = LoopOptions(steps=7, precision="float16").method("projector", "invert").last
    assert (chosen.steps, chosen.precision, chosen.keep) == (7, "float16", "last")
    assert LoopOptions().method("robust", "inpaint") == jaxgan.Method.robust()
    assert LoopOptions(steps=9).method("default", "inpaint").last.latent_dist_reg_weight == 1
