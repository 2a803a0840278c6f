"""The measurements that a GPU is borrowed for: in their order, each in its own process, and none begun too late."""

import json

import pytest

from experiments.bench import gpu


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """Runs the script with programs that print what they were asked; returns what it has on record."""

    def run(seconds, program="import json, sys; print(json.dumps({'asked': sys.argv[2:]}))"):
        monkeypatch.setattr(gpu.sys, "argv", ["gpu", str(tmp_path / "out"), "--seconds", str(seconds)])
        fake = tmp_path / "python"
        fake.write_text(f"#!{real}\n{program}\n")
        fake.chmod(0o755)
        monkeypatch.setattr(gpu.sys, "executable", str(fake))
        gpu.main()
        return json.loads((tmp_path / "out" / "results.json").read_text())["measurements"]

    real = gpu.sys.executable
    return run


def test_the_most_important_cell_comes_first(measured):
    rows = [row["asked"] for row in measured(1000)]
    first, *others = (json.loads(options[0]) for module, *options in rows if module == "experiments.bench.cell")
    assert first["network"] == "config-f-1024" and first["programs"] == ["jax"]
    assert (first["precision"], first["batch_size"]) == ("float16", 16)
    assert first["trace"].endswith("trace") and not any(cell["trace"] for cell in others)
    assert rows[3] == ["experiments.bench.accuracy", "float16", "tensorfloat32", "bfloat16"]


def test_what_there_is_no_time_for_is_listed(measured):
    assert {row["error"] for row in measured(0)} == {"not run: no time was left"}


def test_an_error_is_kept_and_the_others_are_measured(measured):
    rows = measured(1000, "import sys; sys.exit('no GPU')")
    assert len(rows) == len(gpu.MEASUREMENTS) and {row["error"] for row in rows} == {"no GPU\n"}
