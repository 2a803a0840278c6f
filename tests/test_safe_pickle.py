"""Pickles are read without running what they name."""

import io
import os
import pickle
import subprocess

import numpy as np
import pytest

from jaxgan.pickles import safe_pickle
from jaxgan.pickles.safe_pickle import NUMPY_GLOBALS, UnsafePickleError

ARRAYS = {
    "float": np.linspace(0, 1, 7, dtype=np.float32),
    "matrix": np.arange(12).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "flags": np.array([True, False]),
    "half": np.full((1, 3), 0.25, np.float16),
    "number": np.float32(2.5),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])  # 2 is torch.save's; 5 has another function for arrays
def test_arrays_of_numbers_come_back(protocol):
    loaded = safe_pickle.load(pickle.dumps(ARRAYS, protocol), NUMPY_GLOBALS)
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert loaded[name].dtype == array.dtype, name
        np.testing.assert_array_equal(loaded[name], array, strict=True)


def test_the_byte_order_is_kept():
    values = np.arange(3, dtype=">i4")
    np.testing.assert_array_equal(safe_pickle.load(pickle.dumps(values, 2), NUMPY_GLOBALS), values)


def test_an_open_file_is_read(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1, "two", 3.0, None]))
    with open(tmp_path / "a.pkl", "rb") as file:
        assert safe_pickle.load(file, {}) == [1, "two", 3.0, None]
    assert safe_pickle.load(io.BytesIO(pickle.dumps((1, 2))), {}) == (1, 2)


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, "system"), (subprocess.call, "subprocess.call"), (eval, "eval"), (getattr, "getattr")],
)
def test_other_globals_are_refused_by_name_and_not_run(tmp_path, function, name):
    marker = tmp_path / "ran"
    arguments = {
        "system": (f"touch {marker}",),
        "subprocess.call": (["touch", str(marker)],),
        "eval": (f"open({str(marker)!r}, 'w')",),
        "getattr": (np.ndarray, "tofile"),
    }[name]
    data = pickle.dumps({"weights": np.zeros(2), "evil": Call(function, *arguments)})
    with pytest.raises(UnsafePickleError, match=f"asks for .*{name}, which is not on the list of allowed globals"):
        safe_pickle.load(data, NUMPY_GLOBALS)
    assert not marker.exists()
    pickle.loads(data)  # the same file does run in Python's own reader
    assert marker.exists() or function is getattr


def test_nothing_is_imported(tmp_path, monkeypatch):
    (tmp_path / "surprise.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnsafePickleError, match="asks for surprise.Thing"):
        safe_pickle.load(b"\x80\x02csurprise\nThing\n.", NUMPY_GLOBALS)
    assert not (tmp_path / "ran").exists()


def test_dotted_names_do_not_lead_past_the_list():
    # protocol 4's STACK_GLOBAL may ask for an attribute of an allowed class
    data = b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93."
    with pytest.raises(UnsafePickleError, match="asks for numpy.ndarray.tofile"):
        safe_pickle.load(data, NUMPY_GLOBALS)


@pytest.mark.parametrize("dtype", [object, "U3", "S2", "M8[s]", "c8"])
def test_arrays_of_anything_but_numbers_are_refused(dtype):
    data = pickle.dumps(np.zeros(2, dtype), 2)
    with pytest.raises(UnsafePickleError, match="an array has dtype .*; expected plain numbers"):
        safe_pickle.load(data, NUMPY_GLOBALS)


def test_arrays_that_numpy_did_not_write_are_refused():
    huge = pickle.dumps(Call(np._core.multiarray._reconstruct, np.ndarray, (10**12,), b"b"), 2)
    with pytest.raises(
        UnsafePickleError, match=r"an array starts as .* of shape \(1000000000000,\); expected an empty"
    ):
        safe_pickle.load(huge, NUMPY_GLOBALS)
    with pytest.raises(UnsafePickleError, match="bytes are encoded as 'rot13'; expected 'latin1'"):
        safe_pickle.load(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", NUMPY_GLOBALS)


def test_persistent_ids_need_a_resolver():
    data = b"\x80\x02X\x03\x00\x00\x00keyQ."
    with pytest.raises(UnsafePickleError, match="data outside the pickle"):
        safe_pickle.load(data, {})
    assert safe_pickle.load(data, {}, persistent_load=lambda pid: pid * 2) == "keykey"


WHOLE = pickle.dumps(ARRAYS, 2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"not a pickle",
        WHOLE[:-1],
        WHOLE[: len(WHOLE) // 2],
        b"\x80\x09N.",
        b"(" * 5,
        b"\x80\x02]" + b"a" * 3 + b".",
    ],
    ids=["empty", "one-byte", "text", "no-end", "half", "protocol-9", "marks", "stack"],
)
def test_broken_pickles_are_told(data):
    with pytest.raises(UnsafePickleError, match="not a readable pickle"):
        safe_pickle.load(data, NUMPY_GLOBALS)


def test_any_single_byte_may_be_wrong():
    """Whatever a flipped byte does, the result is a value or our error, and no code has run."""
    data = bytearray(pickle.dumps({"w": np.arange(3, dtype=np.float32)}, 2))
    outcomes = set()
    for position in range(len(data)):
        for value in (0, 0x52, 0xFF):  # R, the opcode that calls, among them
            changed = bytes(data[:position]) + bytes([value]) + bytes(data[position + 1 :])
            try:
                safe_pickle.load(changed, NUMPY_GLOBALS)
                outcomes.add("read")
            except UnsafePickleError:
                outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.", "nested too deeply"),  # this crashes pickle.loads
        (b"\x80\x02]r\xff\xff\xff\x3f.", "memo index"),  # this makes pickle.loads clear 16 GB
        (b"\x80\x02" + b"N0" * 1_100_000 + b"N.", "steps"),
        (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little") + b"x.", "truncated"),
        (b"\x80\x02cnumpy\nndarray\n(J\xff\xff\xff\x7ft\x85R.", "not a readable pickle"),
    ],
    ids=["tuples", "memo", "steps", "bytes", "ndarray"],
)
def test_claims_are_refused_before_anything_is_allocated(data, message):
    with pytest.raises(UnsafePickleError, match=message):
        safe_pickle.load(data, NUMPY_GLOBALS)


def test_one_string_cannot_be_copied_over_and_over():
    # text and encoding are memoised, then encoded 100 times: 100 MB from a file of 1 MB
    text = b"X" + (10**6).to_bytes(4, "little") + b"a" * 10**6 + b"q\x00X\x06\x00\x00\x00latin1q\x01"
    data = b"\x80\x02(" + text + b"c_codecs\nencode\nq\x02" + b"h\x02h\x00h\x01\x86R" * 100 + b"l."
    with pytest.raises(UnsafePickleError, match="unpacks to much more than its size"):
        safe_pickle.load(data, NUMPY_GLOBALS)


def test_the_state_of_an_array_must_fit_its_data():
    good = pickle.dumps(np.arange(3, dtype=np.int32), 2)
    shape = good.index(b"K\x03\x85")
    with pytest.raises(UnsafePickleError, match="lacks data of that size"):
        safe_pickle.load(good[:shape] + b"K\x04\x85" + good[shape + 3 :], NUMPY_GLOBALS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((b"K\x03K\x04\x86", b"K\x03K\x05\x86"), "lacks data of that size"),
        ((b"\x8c\x01C", b"\x8c\x01K"), "made of something else"),
    ],
)
def test_arrays_of_protocol_5_must_fit_their_data(change, said):
    good = pickle.dumps(np.arange(12, dtype=np.int32).reshape(3, 4), 5)
    assert good.count(change[0]) == 1
    with pytest.raises(UnsafePickleError, match=said):
        safe_pickle.load(good.replace(*change), NUMPY_GLOBALS)


def test_keys_may_be_few_tuples_but_not_endless_ones():
    assert safe_pickle.load(pickle.dumps({(1, ("a", 2)): 3, frozenset({4}): 5}, 4), {}) == {
        (1, ("a", 2)): 3,
        frozenset({4}): 5,
    }
    bomb = (1,)
    for _ in range(40):
        bomb = (bomb, bomb)
    data = pickle.dumps(bomb, 4)  # pickle writes each level once
    with pytest.raises(UnsafePickleError, match="parts; refused"):
        safe_pickle.load(data[:-1].replace(b"\x80\x04", b"\x80\x04}", 1) + b"K\x01s.", {})


def test_a_file_cannot_change_the_functions_it_may_call():
    def double(value, times=2):
        return value * times

    # BUILD with (None, {"__defaults__": (3,)}), which sets attributes
    data = b"\x80\x02ca\nb\nN}X\x0c\x00\x00\x00__defaults__K\x03\x85s\x86b."
    with pytest.raises(UnsafePickleError, match="gives a state to a function"):
        safe_pickle.load(data, {("a", "b"): double})
    assert double.__defaults__ == (2,)
    assert safe_pickle.load(b"\x80\x02ca\nb\nK\x04\x85R.", {("a", "b"): double}) == 8


def test_values_in_messages_are_short_whatever_they_are():
    endless: list = []
    endless.append(endless)
    values = [10**5000, "x" * 10**6, endless, {1: 2}, np.zeros((2, 3)), (1, 2), (10**5000,), None, 1.5, list, object()]
    shown = [safe_pickle.brief(value) for value in values]
    assert all(len(text) <= 160 for text in shown)
    assert shown[2:6] == ["list of 1", "dict of 1", "an array (2, 3)", "(1, 2)"] and shown[8] == "1.5"


def test_deep_nesting_is_told():
    with pytest.raises(UnsafePickleError, match=r"nested too deeply|not a readable pickle"):
        safe_pickle.load(b"\x80\x02" + b"](" * 100_000, {})
