"""Reading PyTorch files. The oracle is PyTorch itself, on files it writes here, and its reader of nested storages."""

import io
import itertools
import os
import pickle
import pickletools
import random
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from convert.files import file_kinds, torch_files
from convert.files.stand_ins import Module
from convert.files.torch_files import flat_arrays
from convert.files.torch_tensors import CheckpointFileError, rebuild_tensor

REFERENCE = Path(__file__).parent / "reference"
SNAPSHOTS = ["ada_tiny", "ada_cond_tiny", "ada_clamp_fp16_tiny", "ada_resnet_tiny"]


def _tensors() -> OrderedDict:
    base = torch.arange(24, dtype=torch.float32)
    return OrderedDict(
        scalar=torch.tensor(2.5),
        half=torch.randn(3, 4).half(),
        double=torch.randn(5).double(),
        long=torch.arange(4),
        boolean=torch.tensor([True, False]),
        empty=torch.zeros(0, 3),
        channels_last=torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        transposed=base.reshape(4, 6).t(),
        shared_tail=base[20:],
        parameter=torch.nn.Parameter(torch.randn(2, 2)),
    )


@pytest.mark.parametrize("new_zip", [True, False], ids=["zip", "legacy"])
def test_torch_save_files_give_the_same_arrays(tmp_path, new_zip):
    tensors = _tensors()
    torch.save({"g": tensors, "step": 3}, tmp_path / "a.pt", _use_new_zipfile_serialization=new_zip)
    value = torch_files.read_tensors(tmp_path / "a.pt")
    assert value["step"] == 3 and list(value["g"]) == list(tensors)
    for name, tensor in tensors.items():
        expected = tensor.detach().numpy()
        assert value["g"][name].dtype == expected.dtype, name
        np.testing.assert_array_equal(value["g"][name], expected, strict=True)
    assert np.shares_memory(value["g"]["transposed"], value["g"]["shared_tail"])


def test_a_state_dict_keeps_its_names(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3))
    torch.save(module.state_dict(), tmp_path / "a.pth")  # an OrderedDict with the attribute _metadata
    arrays = flat_arrays(torch_files.read_tensors(tmp_path / "a.pth"))
    assert list(arrays) == list(module.state_dict())


class _OracleUnpickler(pickle.Unpickler):
    """PyTorch's own functions for tensors, and dicts for the modules."""

    def find_class(self, module, name):
        if name == "_reconstruct_persistent_obj":
            return lambda meta: meta["state"]
        if name == "_load_from_bytes":
            return lambda data: torch.load(io.BytesIO(data), weights_only=True)
        if name == "EasyDict":
            return dict
        return super().find_class(module, name)


def _oracle_arrays(state, prefix=""):
    for name, tensor in itertools.chain(state["_parameters"].items(), state["_buffers"].items()):
        if tensor is not None:
            yield prefix + name, tensor.detach().numpy()
    for name, child in state["_modules"].items():
        yield from _oracle_arrays(child, f"{prefix}{name}.")


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_snapshots_equal_what_torch_rebuilds(name):
    path = REFERENCE / f"{name}.pkl"
    with open(path, "rb") as file:
        expected = dict(_oracle_arrays(_OracleUnpickler(file).load()["G_ema"]))
    network = torch_files.read_snapshot(path)["G_ema"]
    found = flat_arrays(network)
    assert network.class_name == "Generator" and found.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key], strict=True)


def test_snapshot_attributes_and_strides():
    network = torch_files.read_snapshot(REFERENCE / "ada_clamp_fp16_tiny.pkl")["G_ema"]
    modules = torch_files.named_modules(network)
    assert modules["synthesis.b32.conv0"].state["conv_clamp"] == 256
    weight = flat_arrays(network)["synthesis.b32.conv0.weight"]  # stored channels-last, see reference/README.md
    assert weight.strides[1] == weight.itemsize and not weight.flags.writeable


class _ScriptNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)
        self.register_buffer("lin", torch.rand(4))
        self.scales = [torch.ones(2), torch.zeros(3)]

    def forward(self, x):
        return self.conv(x) * self.lin[:, None, None] + self.scales[0].sum()


@pytest.mark.parametrize("frozen", [False, True])
def test_torchscript_archives_give_their_arrays(tmp_path, frozen):
    net = _ScriptNet().eval()
    script = torch.jit.script(net)
    (torch.jit.freeze(script) if frozen else script).save(str(tmp_path / "a.pt"))
    arrays = torch_files.read_torchscript(tmp_path / "a.pt")
    if not frozen:
        assert {"conv.weight", "conv.bias", "lin", "scales.0", "scales.1"} == set(arrays)
    for expected in (net.conv.weight, net.conv.bias):
        assert any(np.array_equal(expected.detach().numpy(), array) for array in arrays.values())


class _Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _meta(**fields) -> bytes:
    """A pickle whose only object calls `_reconstruct_persistent_obj` with a dict."""
    body = pickle.dumps(fields, 2)[2:-1]
    return b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj\n" + body + b"\x85R."


@pytest.mark.parametrize("target", ["snapshot", "zip", "legacy", "torchscript"])
def test_malicious_pickles_are_refused_by_name_and_not_run(tmp_path, target):
    marker, path = tmp_path / "ran", tmp_path / "evil.pt"
    evil = {"G_ema": _Evil(os.mkdir, str(marker))}
    if target == "snapshot":
        path.write_bytes(pickle.dumps(evil))
    elif target == "torchscript":
        torch.jit.script(_ScriptNet()).save(str(path))
        _replace_entry(path, "data.pkl", pickle.dumps(evil, 2))
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=target == "zip")
    read = {"snapshot": torch_files.read_snapshot, "torchscript": torch_files.read_torchscript}
    with pytest.raises(CheckpointFileError, match=r"posix\.mkdir.*refused"):
        read.get(target, torch_files.read_tensors)(path)
    assert not marker.exists()


def test_malicious_nested_storage_is_refused(tmp_path):
    marker = tmp_path / "ran"
    stream = io.BytesIO()
    torch.save(_Evil(os.mkdir, str(marker)), stream, _use_new_zipfile_serialization=False)
    nested = pickle.dumps(stream.getvalue(), 3)[2:-1]
    (tmp_path / "a.pkl").write_bytes(b"\x80\x03ctorch.storage\n_load_from_bytes\n" + nested + b"\x85R.")
    with pytest.raises(CheckpointFileError, match=r"posix\.mkdir.*refused"):
        torch_files.read_snapshot(tmp_path / "a.pkl")
    assert not marker.exists()


def test_module_source_is_never_executed(tmp_path):
    marker = tmp_path / "ran"
    source = f"import os; os.mkdir({str(marker)!r})"
    (tmp_path / "a.pkl").write_bytes(_meta(type="class", version=6, module_src=source, class_name="G", state={}))
    assert torch_files.read_snapshot(tmp_path / "a.pkl").class_name == "G"
    assert not marker.exists()


def _replace_entry(path: Path, ending: str, data: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, data if name.endswith("/" + ending) else content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"hello, this is text\n", "text file"),
        (b"\x00\x01\x02\x03", "no checkpoint of a known kind"),
        (b"PK\x03\x04 and nothing more", "damaged zip"),
    ],
)
def test_other_files_are_named(tmp_path, content, message):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(CheckpointFileError, match=message):
        file_kinds.recognise(tmp_path / "a.pkl")


def test_missing_files_and_directories_are_named(tmp_path):
    with pytest.raises(CheckpointFileError, match="No such file"):
        torch_files.read_snapshot(tmp_path / "missing.pkl")
    with pytest.raises(CheckpointFileError, match="is a directory"):
        torch_files.read_tensors(tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.", "nested too deeply"),  # this crashes pickle.loads
        (b"\x80\x02]r\xff\xff\xff\x3f.", "memo index"),  # this makes pickle.loads clear 16 GB
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.", "truncated or damaged"),
        (b"\x80\x02B.", "truncated or damaged|no checkpoint"),
    ],
    ids=["deep", "memo", "bytes", "short"],
)
def test_pickles_that_claim_too_much_are_refused(tmp_path, data, message):
    (tmp_path / "a.pkl").write_bytes(data)
    with pytest.raises(CheckpointFileError, match=message):
        torch_files.read_snapshot(tmp_path / "a.pkl")


def test_a_storage_larger_than_the_file_is_refused(tmp_path):
    stream = io.BytesIO()
    torch.save(torch.zeros(70_000), stream, _use_new_zipfile_serialization=False)
    data = stream.getvalue().replace(b"J" + struct.pack("<i", 70_000), b"J" + struct.pack("<i", 2**31 - 1))
    (tmp_path / "a.pt").write_bytes(data)
    with pytest.raises(CheckpointFileError, match="take more than"):
        torch_files.read_tensors(tmp_path / "a.pt")


def test_compressed_zip_entries_are_refused(tmp_path):
    torch.save(torch.zeros(1000), tmp_path / "a.pt")
    _replace_entry(tmp_path / "a.pt", "version", b"3\n", zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointFileError, match="is compressed"):
        torch_files.read_tensors(tmp_path / "a.pt")


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, (5,), (1,)), (1, (4,), (1,)), (0, (100,), (0,)), (-1, (2,), (1,)), (0, (2, 2), (1,))],
)
def test_tensors_outside_their_storage_are_refused(offset, size, stride):
    with pytest.raises(CheckpointFileError, match="tensor"):
        rebuild_tensor(np.zeros(4, np.float32), offset, size, stride)


def test_an_exponential_tree_of_shared_modules_is_refused():
    module = Module("Leaf", {})
    for _ in range(40):
        module = Module("Node", {"_modules": {"a": module, "b": module}})
    with pytest.raises(CheckpointFileError, match="nests more than"):
        flat_arrays(module)


def _read_any(path: Path) -> None:
    kind = file_kinds.recognise(path)
    value = torch_files.read_snapshot(path) if kind in ("pickle", "tensorflow") else torch_files.read_tensors(path)
    flat_arrays(value)


@pytest.mark.parametrize("kind", ["snapshot", "zip", "legacy"])
def test_damaged_files_raise_nothing_but_our_error(tmp_path, kind):
    """Truncations and flipped bits: either still readable or refused; no other exception, no crash."""
    path = tmp_path / "a.pt"
    if kind == "snapshot":
        path.write_bytes((REFERENCE / "ada_resnet_tiny.pkl").read_bytes())
        # Most of the file is numbers, where a flip changes nothing: aim at the opcodes.
        places = [place for _, _, place in pickletools.genops(path.read_bytes())][:2000]
    else:
        torch.save(_tensors(), path, _use_new_zipfile_serialization=kind == "zip")
        places = list(range(path.stat().st_size))
    whole = path.read_bytes()
    random_ = random.Random(0)
    refused = 0
    for case in range(100):
        data = bytearray(whole)
        if case % 4 == 0:
            del data[random_.randrange(1, len(data)) :]
        else:
            data[random_.choice(places)] ^= 1 << random_.randrange(8)
        path.write_bytes(data)
        try:
            _read_any(path)
        except CheckpointFileError:
            refused += 1
    assert refused >= 25  # every truncation, at least
