"""The option --blind of `experiments.invert`: the estimate in the folder of a run, and runs that stop on the way."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import FILES, PROG, QUICK, assert_same, call, last_line, pixels, record, succeed
from PIL import Image

from experiments.options import Damage
from experiments.restore import degrade
from experiments.runs import estimate
from experiments.runs.estimate import Estimated
from jaxgan import blind, images
from jaxgan.batch import Batch
from jaxgan.blind import Estimate
from jaxgan.degradations import GaussianBlur, MotionBlur

pytestmark = pytest.mark.usefixtures("narrow_lpips")


@pytest.fixture(scope="module")
def faces(crops, tmp_path_factory) -> Path:
    """A folder of two pictures, each a face to the program."""
    folder = tmp_path_factory.mktemp("faces")
    for index, picture in enumerate(crops[:2]):
        images.write_png(folder / f"face{index}.png", images.resize(picture, 16))
    return folder


@pytest.fixture(scope="module")
def arguments(tiny_network) -> tuple:
    """The command without photographs and output folder."""
    return ("--task", "deblur", "--sigma", 0.7, "--blind", "sigma", *QUICK, "--model", tiny_network, "--batch-size", 2)


@pytest.fixture(scope="module")
def whole(faces, arguments, tmp_path_factory) -> Path:
    """A run that was not stopped, of the second face."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    stderr = succeed(*arguments, "--image", faces / "face1.png", "--output", folder)
    assert "face1.png: face 0: sigma is estimated at 0." in stderr and "estimating sigma" in stderr
    return folder


def test_the_estimate_is_in_the_folder(whole):
    assert {path.name for path in whole.iterdir()} == FILES | {"estimate.json", "estimate.png"}
    told, kept = record(whole)["estimated"]["sigma"], estimate.load(whole)["sigma"]
    assert told == {"value": kept.value, "spread": list(kept.spread), "flat": kept.flat, "truth": 0.7}
    assert 0.3 <= kept.value <= 1 and kept.value != 0.7 and len(kept.grid) == len(kept.losses) == 16
    with Image.open(whole / "estimate.png") as figure:
        assert min(figure.size) > 300
    assert record(whole)["settings"]["damage"]["blind"] == ["sigma"]


def test_the_sample_is_damaged_as_told_and_the_optimiser_is_not_told(whole):
    truth = pixels(whole / "truth.png")
    observed = [
        degrade.observe(Damage("deblur", sigma=0.7, blind=unknown, kernel_size=7), truth)
        for unknown in ((), ("sigma",))
    ]
    for one in observed:
        np.testing.assert_array_equal(images.to_uint8(np.asarray(one.observed)), pixels(whole / "observed.png"))
    told, blinded = (one.assumed for one in observed)
    assert isinstance(blinded, GaussianBlur) and float(told.sigma) == pytest.approx(0.7) != float(blinded.sigma)
    other = degrade.observe(Damage("deblur", sigma=0.5, blind=("sigma",)), truth).assumed
    assert float(other.sigma) == float(blinded.sigma) and other.kernel_size == 7
    moved = degrade.observe(Damage("deblur", motion=(3.0, 30.0), blind=("length",)), truth).assumed
    assert isinstance(moved, MotionBlur) and float(moved.angle) == 30 and float(moved.length) != 3


def test_a_run_interrupted_in_its_estimation_begins_it_again(whole, faces, arguments, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    options = (*arguments, "--image", faces / "face1.png", "--output", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(blind, "estimate_parameters", interrupted)
        code, stderr = call(*options)
    assert code == 130 and not (tmp_path / "out" / "estimate.json").exists()
    expected = f"{PROG}: interrupted. To go on with {tmp_path}/out, repeat the command with --resume."
    assert last_line(stderr) == expected
    succeed(*options, "--resume")
    assert_same(tmp_path / "out", whole)
    assert (tmp_path / "out" / "estimate.json").read_bytes() == (whole / "estimate.json").read_bytes()


def test_a_run_interrupted_later_keeps_its_estimate(whole, faces, arguments, tmp_path, monkeypatch):
    options = (*arguments, "--image", faces / "face1.png", "--output", tmp_path / "out")

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "advance", interrupted)
        call(*options)
    assert record(tmp_path / "out")["finished"] is None
    with monkeypatch.context() as patch:
        patch.setattr(blind, "estimate_parameters", pytest.fail)
        succeed(*options, "--resume")
    assert_same(tmp_path / "out", whole)
    assert record(tmp_path / "out")["estimated"] == record(whole)["estimated"]


def test_two_photographs_in_a_batch_have_an_estimate_each(whole, faces, arguments, tmp_path):
    lines = [{"image": str(faces / f"face{index}.png"), "blind": ["sigma"], "sigma": 0.7} for index in (1, 0)]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    chosen = [option for option in arguments if option not in ("--blind", "sigma", "--sigma", 0.7)]
    stderr = succeed(*chosen, "--jobs", tmp_path / "jobs.jsonl", "--output", tmp_path / "out")
    assert stderr.count("sigma is estimated at") == 2
    assert (tmp_path / "out" / "face1" / "estimate.json").read_bytes() == (whole / "estimate.json").read_bytes()
    assert_same(tmp_path / "out" / "face1", whole)
    other = record(tmp_path / "out" / "face0")["estimated"]["sigma"]
    assert other["value"] != record(whole)["estimated"]["sigma"]["value"]


def test_the_seeds_of_a_face_share_one_estimate(whole, faces, arguments, tmp_path, monkeypatch):
    calls, original = [], blind.estimate_parameters

    def counted(*arguments, **options):
        calls.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(blind, "estimate_parameters", counted)
    succeed(*arguments, "--seeds", 0, 1, "--image", faces / "face1.png", "--output", tmp_path / "out")
    assert len(calls) == 1
    for folder in ("seed-0", "seed-1", "."):
        assert record(tmp_path / "out" / folder)["estimated"] == record(whole)["estimated"]
    assert (tmp_path / "out" / "estimate.png").exists()
    assert_same(tmp_path / "out" / "seed-0", whole)


def test_a_broken_estimate_is_told(faces, arguments, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "out")
    (folder / "config.json").write_text(json.dumps(record(folder) | {"finished": None, "result": None}))
    (folder / "estimate.json").write_text('{"sigma": {"value": 1}}')
    code, stderr = call(*arguments, "--image", faces / "face1.png", "--output", folder, "--resume")
    assert code == 2 and "estimate.json holds no estimates" in last_line(stderr)
    assert last_line(stderr).endswith("start again with --overwrite.")


def test_words():
    sigma = Estimate(2.9, (2.71, 3.12), False, (), ())
    photons = Estimate(24.2, (20.0, 30.0), True, (), ())
    estimated = Estimated({"sigma": sigma, "photons": photons}, {}, 2.0)
    assert estimate.sentences(estimated) == [
        "sigma is estimated at 2.90 pixels (2.71 to 3.12), 5.80 pixels of the photograph.",
        "photons are estimated at 24.2 (20.0 to 30.0), but the picture does not decide: other values are about as "
        "likely.",
    ]
    assert estimate.facts(estimated)["sigma"]["pixels_of_photograph"] == 5.8


def test_true_values_are_those_that_damage():
    damage = Damage("deblur", also=("denoise", "dejpeg"), blind=("sigma", "photons", "quality"), photons=30.0)
    assert degrade.true_values(damage, 128) == {"sigma": 1.25, "photons": 30, "quality": 12}
    assert degrade.true_values(Damage("upsample", blind=("factor",)), 32) == {"factor": 4}
    assert degrade.true_values(Damage("deblur", blind=("sigma",), already_degraded=True), 128) == {}
