"""Files made to do harm, or by mishap: exit code 2, one clear line, nothing run, nothing written, memory bounded."""

import io
import os
import pickle
import re
import struct
import zipfile

import numpy as np
import pytest
import torch
from parity import REFERENCE

from convert.__main__ import main

MEMORY_KB = 300_000
"""Growth of the process that is allowed; the files are under 3 MB. Most of it is JAX's and Orbax's own."""


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _tensor(offset=0, size=(2,), stride=(1,), count=4):
    """A state dict in the legacy stream whose one tensor makes these claims of its storage of 4 numbers."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, "0", "cpu", count, None) if value == "STORAGE" else None

    out = io.BytesIO()
    for header in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}):
        pickle.dump(header, out, 2)
    arguments = ("STORAGE", offset, size, stride, False, {})
    Pickler(out, 2).dump({"g_ema": {"input.input": Call(torch._utils._rebuild_tensor_v2, *arguments)}})
    pickle.dump(["0"], out, 2)
    return out.getvalue() + struct.pack("<q", 4) + np.arange(4, dtype=np.float32).tobytes()


def _persistent(state: bytes) -> bytes:
    """{"G_ema": a Generator whose `__dict__` is the given piece of a pickle}"""
    meta = (
        b"}(X\x04\x00\x00\x00typeX\x05\x00\x00\x00classX\x0a\x00\x00\x00class_nameX\x09\x00\x00\x00Generator"
        b"X\x05\x00\x00\x00state" + state + b"u"
    )
    call = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n" + meta + b"\x85R"
    return b"\x80\x02}X\x05\x00\x00\x00G_ema" + call + b"s."


def _zip(**entries) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("__", "/"), data)
    return out.getvalue()


def _safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + b"\x00" * 64


def _npy(shape, size=8):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return out.getvalue() + b"\x00" * size


def _npz_of_objects():
    out = io.BytesIO()
    np.savez(out, **{"synthesis.b4.const": np.array([Call(os.system, "touch RAN")], object)})
    return out.getvalue()


CYCLE = b"}q\x00X\x08\x00\x00\x00_modulesh\x00sX\x0b\x00\x00\x00_parameters}s"  # {"_modules": itself}
LIST_CYCLE = b"\x80\x02]q\x00h\x00a."


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


# 60 steps, each of which holds the one before twice: 2**60 parts for whoever walks through it.
TUPLE_BOMB = b"K\x01\x85" + b"".join(b"q%ch%c\x86" % (n, n) for n in range(60))
LIST_BOMB = b"](K\x01e" + b"".join(b"q%c0](h%ch%ce" % (n, n, n) for n in range(60))
EASY_DICT = b"\x80\x02cdnnlib.util\nEasyDict\n"
TF_NETWORK = b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81}(" + _text("version") + b"K\x04"
TF_NETWORK += _text("variables") + b"]" + _text("static_kwargs") + b"}" + _text("nonlinearity")
NUMBER = b"\x8b" + struct.pack("<i", 3000) + b"\x01" * 3000  # of 7,000 digits, which Python refuses to print

CASES = {
    "tuple bomb": (b"\x80\x02}" + _text("G_ema") + TUPLE_BOMB + b"s.", "parts; refused"),
    "tuple bomb, key": (b"\x80\x02}" + TUPLE_BOMB + b"K\x01s.", "parts; refused"),
    "list bomb": (b"\x80\x02}" + _text("G_ema") + LIST_BOMB + b"s.", "nests more than"),
    "list bomb, attribute": (TF_NETWORK + LIST_BOMB + b"subq\x7fh\x7fh\x7f\x87.", "nonlinearity is list of 2"),
    "set of a bomb": (b"\x80\x02cbuiltins\nset\n]" + TUPLE_BOMB + b"a\x85R.", "made of something else"),
    "deep tuples": (b"\x80\x02}" + _text("G_ema") + b")" + b"\x85" * 15_000 + b"s.", "too deeply"),
    "long number": (b"\x80\x02}" + _text("G_ema") + NUMBER + b"s}" + NUMBER + b"K\x01s\x86.", "holds no arrays"),
    "methods": (EASY_DICT + b")\x81}" + _text("values") + b"K\x01sb.", "is given attributes"),
    "methods, slots": (EASY_DICT + b")\x81N}" + _text("values") + b"K\x01s\x86b.", "is given attributes"),
    "class changed": (EASY_DICT + b"N}" + _text("keys") + b"K\x01s\x86b.", "not a readable pickle"),
    "function changed": (
        b"\x80\x02cbuiltins\nset\nN}" + _text("__defaults__") + b"K\x01\x85s\x86b.",
        "state to a function; refused",
    ),
    "records": (b"\x80\x02cnumpy\ndtype\n" + LIST_BOMB + b"\x85R.", "expected plain numbers"),
    "control characters": (b"\x80\x02}" + _text("\ud800\x1b[31m\n") + b"K\x01s.", "holds no arrays"),
    "gzip": (b"\x1f\x8b" + bytes(range(200)), "is a compressed file; unpack it first"),
    "empty": (b"", "is empty"),
    "text": (b"hello\n", "text file"),
    "html": (b"<!DOCTYPE html>\n<title>Quota exceeded</title>", "HTML"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "this is a Git LFS pointer, not the weights"),
    "zeros": (bytes(5000), "no checkpoint of a known kind"),
    "os.system": (pickle.dumps({"G_ema": Call(os.system, "touch RAN")}), r"posix.system"),
    "eval": (pickle.dumps(Call(eval, "open('RAN', 'w')"), 2), "builtin__.eval"),
    "exec": (b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c\x01x\x85R.", "builtins.exec"),
    "hub": (b"\x80\x02ctorch.hub\nload\nX\x01\x00\x00\x00x\x85R.", "torch.hub.load"),
    "torch.load": (b"\x80\x02ctorch.serialization\nload\nX\x01\x00\x00\x00x\x85R.", "torch.serialization.load"),
    "getattr": (pickle.dumps(Call(getattr, Call(__import__, "os"), "system"), 2), "__import__"),
    "dotted": (b"\x80\x04\x8c\x05numpy\x8c\x13ndarray.__class__.x\x93.", "numpy.ndarray.__class__.x"),
    "inst": (b"(S'touch RAN'\nios\nsystem\n.", "text file"),  # protocol 0 has no magic number
    "inst, protocol 2": (b"\x80\x02(X\x09\x00\x00\x00touch RANios\nsystem\n.", "os.system"),
    "extension": (b"\x80\x02\x82\x01.", "not a readable pickle"),
    "numpy.load": (b"\x80\x02cnumpy\nload\nX\x01\x00\x00\x00x\x85R.", "numpy.load"),
    "storage called": (b"\x80\x02ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R.", "refused|not a readable pickle"),
    "set": (b"\x80\x02cbuiltins\nset\nX\x01\x00\x00\x00x\x85R.", "made of something else"),
    "module of a module": (_persistent(b"}X\x08\x00\x00\x00_modulesK\x01s"), "is no dict of Module"),
    "module cycle": (_persistent(CYCLE), "is no dict of Module"),
    "cycle": (LIST_CYCLE, "nests more than"),
    "deep": (b"\x80\x02" + b"](" * 200_000, "not a readable pickle|nested too deeply"),
    "huge shape": (_tensor(size=(2**40,)), "exceeds its storage"),
    "huge product": (_tensor(size=(2**40, 2**40, 0), stride=(1, 1, 1)), "array is too big"),
    "huge storage": (_tensor(count=2**30), "take more than"),
    "negative stride": (_tensor(stride=(-1,)), "expected sizes"),
    "negative offset": (_tensor(offset=-1), "expected sizes"),
    "zero stride": (_tensor(size=(10**6,), stride=(0,)), "exceeds its storage"),
    "offset": (_tensor(offset=3), "exceeds its storage"),
    "rank": (_tensor(size=(1,) * 65, stride=(1,) * 65), "too many"),
    "zip bomb": (_zip(**{"a__data.pkl": b"\x80\x02N.", "a__data__0": bytes(10**8)}), "no StyleGAN2|is compressed"),
    "compressed pickle": (_zip(**{"a__data.pkl": bytes(10**8)}), "is compressed|claims 100000000 bytes"),
    "npz bomb": (_zip(**{"x.npy": _npy((10**8,), 4 * 10**8)[: 10**8]}), "more than 2 times its size"),
    "npz claim": (_zip(**{"x.npy": _npy((2**40,))}), "truncated or damaged"),
    "npz objects": (_npz_of_objects(), "expected plain numbers"),
    "empty zip": (_zip(x=b""), "a zip with 0 entries ROOT/data.pkl"),
    "safetensors claim": (
        _safetensors(b'{"x":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'),
        "truncated or damaged .safetensors",
    ),
    "safetensors header": (struct.pack("<Q", 3) + b"{x}", "safetensors|no checkpoint"),
    "safetensors overlap": (
        _safetensors(
            b'{"x":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},'
            b'"y":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}'
        ),
        "truncated or damaged .safetensors",
    ),
}


def _peak_kb() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """One conversion, so that what libraries allocate once does not count."""
    assert (
        main(["stylegan2", str(REFERENCE / "ada_tiny.pkl"), "--output", str(tmp_path_factory.mktemp("w") / "x")]) == 0
    )


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak of the memory is read from Linux's /proc")
@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("command", ["stylegan2", "inspect"])
@pytest.mark.parametrize("name", CASES)
def test_bad_files_are_refused_in_one_line(tmp_path, capsys, monkeypatch, name, command):
    content, message = CASES[name]
    (tmp_path / "bad.pkl").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    before = _peak_kb()
    code = main([command, "bad.pkl", *(["--output", "deep/out"] if command == "stylegan2" else [])])
    captured = capsys.readouterr()
    assert _peak_kb() - before < MEMORY_KB
    assert os.listdir(tmp_path) == ["bad.pkl"]
    assert all(character.isprintable() or character == "\n" for character in captured.out + captured.err)
    if command == "inspect" and code == 0:  # readable, but no generator
        assert "cannot be converted" in captured.out
        return
    assert code == 2 and not captured.out and captured.err.count("\n") == 1, captured
    assert re.search(message, captured.err) and "bad.pkl" in captured.err


def test_one_storage_for_every_layer_is_refused(tmp_path, capsys):
    """A view of one storage per layer is little in a file, and a copy each in memory."""
    content = torch.load(REFERENCE / "rosinality_tiny.pt", weights_only=True)
    shared = torch.zeros(400, 400)
    for name in [name for name in content["g_ema"] if name.startswith("style.")]:
        content["g_ema"][name] = shared if name.endswith("weight") else shared[0]
    content["g_ema"] |= {f"style.{index}.weight": shared for index in range(1, 60)}
    content["g_ema"] |= {f"style.{index}.bias": shared[0] for index in range(1, 60)}
    torch.save(content, tmp_path / "a.pt")
    assert main(["stylegan2", str(tmp_path / "a.pt"), "--output", str(tmp_path / "x")]) == 2
    assert "the layers of a network share nothing" in capsys.readouterr().err


def test_claimed_sizes_are_bounded_before_anything_is_computed(tmp_path, capsys):
    """w_avg of a file without one takes 10,000 z, each as long as a matrix of few rows claims."""
    content = {"g_ema": torch.load(REFERENCE / "rosinality_tiny.pt", weights_only=True)["g_ema"]}
    content["g_ema"]["style.1.weight"] = torch.zeros(48, 20_000, dtype=torch.uint8)
    torch.save(content, tmp_path / "a.pt")
    assert main(["stylegan2", str(tmp_path / "a.pt"), "--output", str(tmp_path / "x")]) == 2
    assert "the network claims sizes of 20000" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are Unix's")
def test_a_pipe_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    assert main(["inspect", str(tmp_path / "pipe")]) == 2
    assert "is no regular file" in capsys.readouterr().err


def test_directories_and_missing_files(tmp_path, capsys):
    assert main(["stylegan2", str(tmp_path), "--output", str(tmp_path / "x")]) == 2
    assert "is a directory" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "missing")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_swapped_tensors_are_all_named(tmp_path, capsys):
    content = torch.load(REFERENCE / "rosinality_tiny.pt", weights_only=True)
    ema = content["g_ema"]
    ema["style.1.bias"], ema["convs.0.conv.weight"] = ema["convs.0.conv.weight"], ema["style.1.bias"]
    torch.save(content, tmp_path / "a.pt")
    assert main(["stylegan2", str(tmp_path / "a.pt"), "--output", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert "2 problems" in error and "style.1.bias" in error and "convs.0.conv.weight" in error


def test_nan_weights_are_refused_and_leave_nothing(tmp_path, capsys):
    content = torch.load(REFERENCE / "rosinality_tiny.pt", weights_only=True)
    content["g_ema"]["convs.0.activate.bias"][3] = float("nan")
    torch.save(content, tmp_path / "a.pt")
    assert main(["stylegan2", str(tmp_path / "a.pt"), "--output", str(tmp_path / "deep" / "x")]) == 2
    assert "NaN or infinite" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["a.pt"]


def test_a_refused_pickle_of_another_network_is_named(tmp_path, capsys):
    """Projected GANs keep pretrained feature networks, whose classes are not on the list."""
    data = (
        b"\x80\x02}(X\x01\x00\x00\x00DX\x16\x00\x00\x00ProjectedDiscriminatorX\x01\x00\x00\x00Gctimm.models\nNet\n)Ru."
    )
    (tmp_path / "a.pkl").write_bytes(data)
    assert main(["stylegan2", str(tmp_path / "a.pkl"), "--output", str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert "timm.models.Net" in error and "a projected GAN network, which is not supported" in error
