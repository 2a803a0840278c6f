"""Readable files whose attributes and arrays make no sense: a network or our error, whatever a value is."""

import random

import numpy as np
import pytest
from parity import REFERENCE

from convert import inspection, stylegan2
from convert.files.stand_ins import Module, TensorflowNetwork
from jaxgan.errors import UserError

VALUES = [
    *(None, True, -1, 0, 1, 2**31, 2**70, 10**400, 10**5000, 1.5, float("nan"), float("inf"), "", "x", "\ud800", b""),
    *((), (1, 2), [], [1], {}, {1: 2}, set(), np.float32(1), np.int64(3), np.bool_(True), np.zeros(0), np.zeros(2)),
    *(np.zeros((0, 2**40)), np.zeros((1, 1, 1, 1), np.float32), np.array(2), np.zeros(3, np.int8), Module("X", {})),
    *(Module("Generator", {}), TensorflowNetwork()),
]
KEYS = ["x", 1, None, (1, 2), 10**5000, "b65536", "fc999", "convs.7.conv.weight", "synthesis/noise99"]


def places(root) -> list[tuple]:
    """(container, key) of everything below."""
    found, stack, seen = [], [root], set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        node = node.state if isinstance(node, (Module, TensorflowNetwork)) else node
        if isinstance(node, (dict, list)):
            entries = list(node.items() if isinstance(node, dict) else enumerate(node))
            found += [(node, key) for key, _ in entries]
            stack += [value for _, value in entries]
        elif isinstance(node, tuple):
            stack += node
    return found


def change(content, draw: random.Random) -> None:
    """Puts another value in some place, or gives an entry another name."""
    network = content[2] if isinstance(content, tuple) else content.get("G_ema", content)
    options = places(network)
    attributes = [(node, key) for node, key in options if not isinstance(node[key], np.ndarray)]
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        node, key = draw.choice(draw.choice((options, attributes or options)))
        if isinstance(node, dict) and key in node and draw.random() < 0.15:
            node[draw.choice(KEYS)] = node.pop(key)
        elif not isinstance(node, dict) or key in node:
            node[key] = draw.choice(VALUES)


def outcome(path, content) -> str:
    try:
        found = stylegan2.find_in_content(path, content, which="g_ema", like=None)
        found.weights()
        inspection.architecture(found)
        return "read"
    except UserError:
        return "refused"


def fuzz(file: str, seeds: range) -> dict[str, int]:
    """Outcomes for copies of a golden file with other values."""
    outcomes = {"read": 0, "refused": 0}
    for seed in seeds:
        content = stylegan2.read_content(REFERENCE / file)
        change(content, random.Random(f"{file} {seed}"))
        try:
            outcomes[outcome(REFERENCE / file, content)] += 1
        except BaseException as error:
            raise AssertionError(f"{file}, seed {seed}") from error
    return outcomes


FILES = ["ada_cond_tiny.pkl", "ada_resnet_tiny.pkl", "tf_legacy_tiny.pkl", "rosinality_tiny.pt"]


@pytest.mark.parametrize("file", FILES)
def test_values_that_make_no_sense_are_refused_or_not_used(file):
    assert fuzz(file, range(12))["refused"] > 2


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_many_values_that_make_no_sense(file, capsys):
    outcomes = fuzz(file, range(1000, 1500))
    with capsys.disabled():
        print(f"{file}: {outcomes}")
    assert outcomes["refused"] > 100


def test_numpy_scalars_are_numbers_as_well():
    """Forks compute sizes in NumPy: the attributes are then its scalars."""
    content = stylegan2.read_content(REFERENCE / "ada_cond_tiny.pkl")
    expected = stylegan2.find_in_content("a", content, which="g_ema", like=None).config
    for node, key in places(content["G_ema"]):
        if key in ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "num_layers"):
            node[key] = np.int64(node[key])
        if key == "bias_gain":
            node[key] = np.float64(node[key])
    assert stylegan2.find_in_content("a", content, which="g_ema", like=None).config == expected
