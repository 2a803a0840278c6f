"""The benchmark of all tasks: its list, its table, and the command, which goes on where it was stopped."""

import csv
import re

import numpy as np
import pytest

from experiments import benchmark_tasks
from experiments.measure import levels
from experiments.measure.levels import LevelTask, all_tasks
from jaxgan import truths

pytestmark = pytest.mark.usefixtures("narrow_lpips")


def test_there_are_31_tasks_and_30_where_factors_coincide():
    names = [task.name for task in all_tasks(1024)]
    assert len(names) == len(set(names)) == 31 and {"upsample-XL", "upsample+denoise+dejpeg+inpaint-M"} <= set(names)
    assert len(all_tasks(128)) == 30 and "upsample-XL" not in [task.name for task in all_tasks(128)]
    assert [task.name for task in all_tasks(128, ["XS"])] == ["upsample-XS", "denoise-XS", "dejpeg-XS", "inpaint-XS"]
    assert len(all_tasks(128, ["M"])) == 4 + 11
    assert [task.name for task in all_tasks(128, ["XL"])] == ["denoise-XL", "dejpeg-XL", "inpaint-XL"]


def test_levels_are_those_of_the_paper():
    chain = LevelTask(levels.TASKS, "L").chain(1024, 0)
    assert [type(truth) for truth in chain] == [
        truths.Reduction, truths.PoissonNoise, truths.Compression, truths.Hole,
    ]  # fmt: skip
    assert (chain[0].factor, chain[1].photons, chain[1].drop, chain[2].quality) == (16, 12, 0.32, 9)


def row(task: str, method: str, result: str, lpips: float) -> dict:
    numbers = {"lpips_truth": lpips, "lpips_observed": lpips / 2, "realism": np.nan if method == "classical" else 1.5}
    return {"task": task, "method": method, "result": result, "kept": True, **numbers}


def test_the_table_has_every_task_and_the_command_of_those_that_are_missing():
    rows = [
        row("upsample-XL", "default", result, lpips)
        for result, lpips in (("reconstruction", 0.9), ("restoration", 0.25))
    ]
    rows += [row("denoise-M", "classical", "classical", 0.4)]
    table = levels.table(all_tasks(1024), rows, ["default", "classical"], "python -m x").splitlines()
    assert len(table) == 2 + 2 * 31 + 2 + 5 + 5  # header, rows, a blank and the note, the levels of two methods
    assert "| upsample-XL | default | 1 | 25.0 | (21.3) | 12.5 | 1.5 |" in table
    assert "| denoise-M | classical | 1 | 40.0 |  | 20.0 |  |" in table
    assert "| inpaint-S | default |  |  |  |  |  |" in table
    assert "Not run: `python -m x --levels XS --method default`" in table


def test_the_command_goes_on_where_it_was_stopped(tmp_path, crops, tiny_network, capsys, monkeypatch):
    """Without a generator, which is quick; the first task is there already, and not done again."""
    np.savez(tmp_path / "faces.npz", images=crops[1:3])
    arguments = ["--images", str(tmp_path / "faces.npz"), "--method", "classical", "--model", tiny_network]
    arguments += ["--output", str(tmp_path / "out")]
    done: list[str] = []
    whole = levels.LevelTask.chain

    def chain(task, resolution, seed):
        done.append(task.name)
        if len(set(done)) == 2 and len(done) < 4:
            raise KeyboardInterrupt
        return whole(task, resolution, seed)

    monkeypatch.setattr(levels.LevelTask, "chain", chain)
    assert benchmark_tasks.main([*arguments, "--levels", "XS"]) == 130
    assert "keeps what is finished; the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr(levels.LevelTask, "chain", whole)
    before = (tmp_path / "out" / "results.csv").read_text()
    assert benchmark_tasks.main([*arguments, "--levels", "XS"]) == 0
    after = (tmp_path / "out" / "results.csv").read_text()
    assert after.startswith(before)
    with open(tmp_path / "out" / "results.csv", newline="") as file:
        assert [r["task"] for r in csv.DictReader(file)] == [
            name for name in ("upsample-XS", "denoise-XS", "inpaint-XS") for _ in range(2)
        ]
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert (tmp_path / "out" / "level-XS.png").exists() and "inpaint-XS" in summary
    (again,) = re.findall("`python -m experiments.benchmark_tasks (.* --levels L --method classical)`", summary)
    monkeypatch.setattr(levels, "all_tasks", lambda *arguments: [])
    assert benchmark_tasks.main(again.split()) == 0  # it is refused if its settings are others


@pytest.mark.parametrize(
    ("option", "said"), [("--batch-size", "--batch-size is 0"), ("--steps", "steps must be a whole number")]
)
def test_wrong_options_are_told(option, said, tmp_path, capsys):
    assert benchmark_tasks.main(["--images", "samples:1", option, "0", "--output", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()
