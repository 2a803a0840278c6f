"""The commands that measure: evaluate and study, through their mains with few steps."""

import csv
import json
import os
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from experiments import evaluate, study
from experiments.measure import damages
from experiments.measure.evaluation import Evaluator
from experiments.measure.spectrum import SIGMAS
from experiments.studies.setup import Setup
from jaxgan import stored_spectra, truths

pytestmark = pytest.mark.usefixtures("narrow_lpips")


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def pictures(crops, tmp_path_factory) -> list[str]:
    """The option that names two pictures."""
    path = tmp_path_factory.mktemp("pictures") / "pictures.npz"
    np.savez(path, images=crops[:2])
    return ["--images", str(path)]


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, tiny_network, pictures):
    output = tmp_path_factory.mktemp("evaluation") / "out"
    arguments = ["--output", str(output), "--model", tiny_network, "--batch-size", "2", *pictures]
    arguments += ["--count", "2", "--steps", "2", "--restarts", "2", "--task", "inpaint"]
    assert evaluate.main([*arguments, "--method", "default", "classical"]) == 0
    return output, arguments


def test_evaluate_writes_rows_summary_and_sheets(evaluation):
    output, _ = evaluation
    rows = read(output / "results.csv")
    kinds = [(result, seed) for seed in "01" for result in ("reconstruction", "restoration") for _ in range(2)]
    assert [(row["result"], row["seed"]) for row in rows] == kinds + [("classical", "0")] * 2
    for name, result in {(row["image"], row["result"]) for row in rows if row["method"] == "default"}:
        of_face = [row for row in rows if (row["image"], row["result"]) == (name, result)]
        kept = [row for row in of_face if row["kept"] == "True"]
        assert [row["lpips_observed"] for row in kept] == [min((r["lpips_observed"] for r in of_face), key=float)]
    summary = (output / "summary.md").read_text().splitlines()
    assert len(summary) == 11 and "| inpaint | default | restoration | 2 |" in summary[3]
    assert "| LPIPS at 16 px, truth |" in summary[0] and "| LPIPS at 16 px, observation |" in summary[0]
    kept = {
        (row["method"], row["image"]): float(row["lpips_truth"])
        for row in rows
        if row["kept"] == "True" and row["result"] != "reconstruction"
    }
    difference = np.mean([kept["classical", name] - kept["default", name] for _, name in list(kept)])
    assert summary[10].startswith("| inpaint | classical | 2 |") and f"| {difference:.3f} [" in summary[10]
    with Image.open(output / "inpaint-default.png") as sheet:
        assert sheet.size == (1036, 900)


def test_harder_damages_are_tasks_of_their_own():
    face = np.random.default_rng(0).integers(1, 256, (128, 128, 3), np.uint8)
    for name, task in (("box", "inpaint"), ("severe-blur", "deblur"), ("dejpeg", "dejpeg")):
        assert damages.task_of(name) == task
    hidden = truths.damage([damages.truth("box", 128, seed=0)], face, 0) != face
    assert 0.18 < hidden.all(-1).mean() < 0.22
    spread = [
        np.std(1.0 * truths.damage([damages.truth(name, 128, seed=0)], face, 0)) for name in ("deblur", "severe-blur")
    ]
    assert spread[1] < spread[0] / 2


@pytest.mark.slow
def test_robust_and_tuned_have_rows_of_their_own(tmp_path, tiny_network, pictures):
    arguments = ["--output", str(tmp_path), "--model", tiny_network, "--steps", "3", "--task", "inpaint", *pictures]
    assert evaluate.main([*arguments, "--tune-steps", "9", "--method", "default", "robust", "tuned"]) == 0
    rows = {(row["method"], row["result"], row["image"]): row for row in read(tmp_path / "results.csv")}
    assert len(rows) == 3 * 2 * 2 and all(row["steps"] == "3" for row in rows.values())
    image = next(iter(rows))[2]
    for result in ("reconstruction", "restoration"):
        values = {method: rows[method, result, image]["lpips_truth"] for method in ("default", "robust", "tuned")}
        assert len(set(values.values())) == 3, values
    assert evaluate.main([*arguments, "--steps", "2", "--method", "robust"]) == 2


def test_evaluate_keeps_what_is_finished(evaluation, capsys):
    output, arguments = evaluation
    before = read(output / "results.csv")
    assert evaluate.main([*arguments, "--method", "classical"]) == 0
    assert read(output / "results.csv") == before
    assert evaluate.main([*arguments, "--method", "classical", "--seed", "5"]) == 2
    assert "holds results with other settings (seed: 0 then, 5 now)" in capsys.readouterr().err


def test_a_signal_keeps_what_is_finished_and_says_how_to_go_on(evaluation, tmp_path, monkeypatch, capsys):
    output, arguments = evaluation
    copy = shutil.copytree(output, tmp_path / "out")
    arguments = [*arguments, "--output", str(copy), "--method", "default", "projector"]

    def interrupt(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)

    before = read(copy / "results.csv")
    monkeypatch.setattr(Evaluator, "invert", interrupt)
    assert evaluate.main(arguments) == 130
    assert f"interrupted. {copy} holds 1 of 2 results; the same command goes on" in capsys.readouterr().err
    assert read(copy / "results.csv") == before


def test_invert_has_no_classical_opponent(evaluation, tmp_path):
    output, arguments = evaluation
    copy = shutil.copytree(output, tmp_path / "out")
    command = [*arguments, "--output", str(copy), "--task", "inpaint", "invert", "--method", "classical"]
    assert evaluate.main(command) == 0
    assert read(copy / "results.csv") == read(output / "results.csv")


def test_results_of_another_version_are_refused(evaluation, tmp_path, capsys):
    output, arguments = evaluation
    copy = shutil.copytree(output, tmp_path / "out")
    facts = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({"options": facts["settings"]}))
    assert evaluate.main([*arguments, "--output", str(copy)]) == 2
    assert f"{copy} was written by another version of this program" in capsys.readouterr().err


def test_evaluate_refuses_bad_options(tmp_path, capsys):
    for arguments, said in (
        (["--restarts", "0"], "--restarts is 0; expected 1 or more"),
        (["--count", "99"], "--count is 99"),
        (["--images", str(tmp_path / "none.npz")], "No such file"),
        (["--steps", "0"], "steps must be a whole number, at least 1"),
    ):
        assert evaluate.main([*arguments, "--output", str(tmp_path / "out")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_evaluate_writes_spectra_that_the_library_reads(tmp_path, tiny_network, pictures):
    path = tmp_path / "spectra.json"
    arguments = ["--model", tiny_network, "--count", "2", "--steps", "1", "--batch-size", "2", *pictures]
    assert evaluate.main([*arguments, "--output", str(tmp_path / "out"), "--write-spectrum", str(path)]) == 0
    library = stored_spectra.load(path)
    assert {source.task for source in library.families} == {"deblur", "inpaint"}
    assert library.find("deblur").strengths == SIGMAS
    assert not (tmp_path / "out").exists()


def test_a_study_writes_figure_table_and_finding(tmp_path, tiny_network, pictures):
    arguments = ["--quick", "--count", "1", "--steps", "1", "--batch-size", "2", "--output", str(tmp_path)]
    arguments += ["--model", tiny_network, *pictures]
    assert study.main(["colour", *arguments]) == 0
    rows = read(tmp_path / "results.csv")
    assert len(rows) == 6
    assert all(np.isfinite(float(row["lpips_truth"])) for row in rows)
    assert (tmp_path / "finding.md").read_text().endswith(".\n")
    assert json.loads((tmp_path / "config.json").read_text())["steps"] == 1
    with Image.open(tmp_path / "figure.png") as figure:
        assert min(figure.size) > 300


def test_a_signal_keeps_the_sweeps_that_are_done_and_says_how_to_go_on(
    tmp_path, tiny_network, pictures, monkeypatch, capsys
):
    begun = []

    def measure(setup, config, cases):
        begun.append(cases[0].labels["space"])
        if begun[-1] == "w_plus":
            os.kill(os.getpid(), signal.SIGTERM)
        return [case.labels for case in cases]

    monkeypatch.setattr(Setup, "_measure", measure)
    for _ in range(2):
        arguments = ["latent-space", "--count", "1", "--output", str(tmp_path), "--model", tiny_network]
        assert study.main([*arguments, *pictures]) == 130
        said = f"interrupted. {tmp_path} keeps the sweeps that are done; the same command goes on."
        assert said in capsys.readouterr().err
    assert begun == ["w", "w_plus", "w_plus"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "latent-weight",
        "steps",
        "kernel",
        "mismatch",
        "mask",
        "latent-space",
        "fewer-steps",
        "restoration",
        "noise",
        "uncertainty",
        "blind",
        "settings",
    ],
)
def test_the_other_studies_run(name, tmp_path, tiny_network, pictures):
    arguments = ["--quick", "--count", "1", "--steps", "8", "--output", str(tmp_path), "--model", tiny_network]
    assert study.main([name, *arguments, *pictures]) == 0
    rows = read(tmp_path / "results.csv")
    assert rows and all(np.isfinite(float(row["lpips_truth"])) for row in rows)
    with Image.open(tmp_path / "figure.png") as figure:
        assert min(figure.size) > 300


@pytest.mark.slow
def test_the_way_between_two_tuned_faces(tmp_path, tiny_network, pictures, capsys):
    arguments = ["interpolation", "--steps", "6", "--output", str(tmp_path), "--model", tiny_network, *pictures]
    assert study.main([*arguments, "--count", "1"]) == 2
    assert "expected 2 images or more, got 1" in capsys.readouterr().err
    assert study.main(arguments) == 0
    rows = {(row["network"], float(row["share"])): row for row in read(tmp_path / "results.csv")}
    assert len(rows) == 10
    for face, share in (("first", 0.0), ("second", 1.0)):
        values = [float(rows[network, share][f"lpips_{face}"]) for network in ("untuned", "tuned")]
        assert values[1] < values[0]
    with Image.open(tmp_path / "figure.png") as figure:
        assert min(figure.size) > 300


def test_study_refuses_bad_options(tmp_path, capsys):
    assert study.main(["mask", "--steps", "0", "--output", str(tmp_path / "out")]) == 2
    assert "--steps is 0; expected 1 or more" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
