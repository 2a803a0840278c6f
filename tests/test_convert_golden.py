"""Every golden file, converted and loaded as a user would, against the outputs of the official code."""

import numpy as np
import pytest
from golden_errors import FILES, QUANTITIES, errors, place
from parity import CASES, REFERENCE

from convert import stylegan2
from convert.rules import ConversionError

TOLERANCE = 1e-5  # relative L2, the contract; largest seen: 7e-7


@pytest.mark.parametrize("file", FILES)
def test_every_quantity_equals_the_official_one(file):
    found = errors(file)
    stored = {"ws", "image", "grad ws"} if place(file).parent == CASES else set(QUANTITIES)
    assert found.keys() >= stored - ({"ws, cutoff"} if file.startswith("rosinality") else set())
    assert {name: error for name, error in found.items() if not error < TOLERANCE} == {}


def test_every_golden_checkpoint_is_covered():
    expected = [path.name.removesuffix(".expected.npz") for path in (*REFERENCE.iterdir(), *CASES.iterdir())]
    names = {path.name for path in (*REFERENCE.iterdir(), *CASES.iterdir()) if path.stem in expected}
    assert {*names, "rosinality_tiny_legacy.pt"} == set(FILES)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("ada_cond_tiny.pkl", "stylegan2-ada-pytorch"),
        ("sg3repo_stylegan2_defaults_tiny.pkl", "stylegan3-project"),
        ("tf_legacy_tiny.pkl", "stylegan2-tensorflow"),
        ("rosinality_tiny_legacy.pt", "rosinality"),
    ],
)
def test_formats_are_told_by_content(tmp_path, file, name):
    (tmp_path / "download").write_bytes((REFERENCE / file).read_bytes())  # no ending to go by
    assert stylegan2.find(tmp_path / "download").format == name


@pytest.mark.parametrize("file", ["ada_tiny.pkl", "tf_legacy_tiny.pkl"])
def test_which_chooses_the_network(file):
    _, averaged = stylegan2.read(REFERENCE / file)
    _, last = stylegan2.read(REFERENCE / file, which="g")
    assert averaged.keys() == last.keys()
    assert not np.array_equal(averaged["mapping/fc0/kernel"], last["mapping/fc0/kernel"])


def test_files_that_describe_themselves_need_no_example(tmp_path):
    for file in ("ada_tiny.pkl", "rosinality_tiny.pt"):
        with pytest.raises(ConversionError, match="leave --like out"):
            stylegan2.find(REFERENCE / file, like=tmp_path)
    with pytest.raises(ConversionError, match="there is no StyleGAN2 generator g among"):
        stylegan2.find(REFERENCE / "rosinality_tiny.pt", which="g")
