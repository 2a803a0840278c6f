"""Rows of a study that was stopped."""

import numpy as np
import pytest

from experiments.studies.kept import Kept
from jaxgan.optimization import LossTerms

ROWS = [
    {
        "face": "heldout-0",
        "weight": 0.1,
        "kernel_size": 5,
        "images": {"truth": np.arange(12, dtype=np.uint8).reshape(2, 2, 3)},
        "losses": LossTerms(*np.arange(8, dtype=np.float32).reshape(4, 2)),
    },
    {"recipe": "W+, no jitter", "curve": np.ones(3), "lpips_truth": float("nan")},
]


def fail():
    raise KeyboardInterrupt


def test_rows_come_back_as_they_were(tmp_path):
    kept = Kept(tmp_path, {"seed": 0})
    assert kept.sweep(lambda: ROWS)[0]["weight"] == 0.1
    with pytest.raises(KeyboardInterrupt):
        kept.sweep(fail)  # the second sweep is stopped
    kept = Kept(tmp_path, {"seed": 0})
    first, second = kept.sweep(fail)
    assert {name: first[name] for name in ("face", "weight", "kernel_size")} == {
        **{"face": "heldout-0", "weight": 0.1, "kernel_size": 5}
    }
    np.testing.assert_array_equal(first["images"]["truth"], ROWS[0]["images"]["truth"], strict=True)
    for ours, expected in zip(first["losses"], ROWS[0]["losses"], strict=True):
        np.testing.assert_array_equal(ours, expected, strict=True)
    assert second["recipe"] == "W+, no jitter" and np.isnan(second["lpips_truth"])
    np.testing.assert_array_equal(second["curve"], np.ones(3))
    assert kept.sweep(lambda: ROWS[1:])[0]["recipe"] == "W+, no jitter"
    kept.remove()
    assert list(tmp_path.iterdir()) == []


def test_other_settings_measure_anew(tmp_path):
    Kept(tmp_path, {"seed": 0}).sweep(lambda: ROWS)
    with pytest.raises(KeyboardInterrupt):
        Kept(tmp_path, {"seed": 1}).sweep(fail)
