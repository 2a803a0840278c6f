"""Classes of other projects: nothing of them is run, what is theirs stays opaque, and the generator beside is read."""

import functools
import io
import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from parity import CASES

from convert import inspection, stylegan2
from convert.files import stand_ins, torch_files
from convert.files.torch_tensors import CheckpointFileError


@pytest.fixture
def foreign(monkeypatch):
    """A module of another project, with a network class, a plain class, and a function that must not be called."""
    module = types.ModuleType("timm.models")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)
            self.act = functools.partial(torch.relu, "never called")

    class Items(list):
        pass

    for kind in (Net, Items):
        kind.__module__, kind.__qualname__ = "timm.models", kind.__name__
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "timm", types.ModuleType("timm"))
    monkeypatch.setitem(sys.modules, "timm.models", module)
    return module


def with_discriminator(discriminator, extra=b"") -> bytes:
    """A snapshot: the bytes of a pickled generator, with another object before it in the same dict."""
    generator = (CASES / "bare_generator.pkl").read_bytes()
    return b"\x80\x04}(" + _inner("D") + _inner(discriminator) + extra + _inner("G_ema") + generator[2:-1] + b"u."


def _inner(value) -> bytes:
    """A value as a part of a pickle, without a memo, which the generator has for itself."""
    out = io.BytesIO()
    pickler = pickle._Pickler(out, 2)
    pickler.fast = True
    pickler.dump(value)
    return out.getvalue()[2:-1]


def test_a_discriminator_of_foreign_classes_does_not_hide_the_generator(tmp_path, foreign):
    items = foreign.Items([1, 2])
    items.colour = {"a": items.__class__}
    path = tmp_path / "a.pkl"
    path.write_bytes(
        with_discriminator([foreign.Net(), items, torch.nn.functional.gelu, functools.partial(torch.relu)])
    )
    ours, control = stylegan2.find(path).weights(), stylegan2.find(CASES / "bare_generator.pkl").weights()
    assert all(np.array_equal(ours[name], control[name]) for name in control)
    content = stylegan2.read_content(path)
    network, listed, function, partial = content["D"]
    assert isinstance(network, stand_ins.Opaque) and network.class_name == "Net"
    assert torch_files.flat_arrays(network)["conv.weight"].shape == (4, 3, 3, 3)
    assert listed.class_path == "timm.models.Items" and not listed.state
    assert issubclass(function, stand_ins.Opaque) and not isinstance(partial, stand_ins.Opaque)
    assert any("G_ema: Generator" in line for line in inspection.describe(path, which="g_ema", like=None))


def test_pythons_own_modules_are_refused_by_name_wherever_they_stand(tmp_path):
    class Call:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'RAN'}",)

    (tmp_path / "a.pkl").write_bytes(with_discriminator(Call()))
    with pytest.raises(CheckpointFileError, match=r"posix\.system, which is not on the list.*nothing was run"):
        stylegan2.find(tmp_path / "a.pkl")
    assert os.listdir(tmp_path) == ["a.pkl"]


def test_a_file_of_foreign_classes_alone_is_refused_by_their_name(tmp_path, foreign):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"G_ema": foreign.Items([1])}, 2))
    with pytest.raises(CheckpointFileError, match=r"asks for timm\.models\.Items.*nothing was run"):
        stylegan2.find(tmp_path / "a.pkl")


@pytest.mark.parametrize("legacy", [True, False])
def test_a_network_of_another_project_saved_whole_is_read_by_its_names(tmp_path, foreign, legacy):
    """rosinality's generator, as `torch.save(g_ema)` writes it."""
    content = torch.load(CASES / "control_rosinality_complete.pt", weights_only=True)
    whole = foreign.Net()
    del whole.conv, whole.act
    for name, tensor in content["g_ema"].items():
        *path, last = name.split(".")
        node = whole
        for part in path:
            if part not in node._modules:
                node.add_module(part, foreign.Net.__base__())
            node = node._modules[part]
        node.register_buffer(last, tensor)
    whole.register_buffer("latent_avg", content["latent_avg"])
    torch.save(whole, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    ours = stylegan2.find(tmp_path / "a.pt").weights()
    control = stylegan2.find(CASES / "control_rosinality_complete.pt").weights()
    assert ours.keys() == control.keys() and all(np.array_equal(ours[name], control[name]) for name in control)
