"""Conversion tables: layouts, the way back, and every problem in one error."""

import jax
import numpy as np
import pytest

from convert import rules
from convert.rules import CHANNELS, CONV, FEATURES, IDENTITY, LINEAR, ConversionError


@pytest.mark.parametrize(
    ("transform", "torch_shape", "our_shape"),
    [
        (IDENTITY, (), ()),
        (IDENTITY, (5,), (5,)),
        (LINEAR, (2, 3), (3, 2)),
        (CONV, (2, 3, 4, 5), (4, 5, 3, 2)),
        (FEATURES, (2, 3, 4), (3, 4, 2)),
        (CHANNELS, (1, 6, 1, 1), (6,)),
    ],
)
def test_transforms_change_layout_and_back(transform, torch_shape, our_shape):
    array = np.arange(np.prod(torch_shape, dtype=int), dtype=np.float32).reshape(torch_shape)
    ours = transform.to_ours(array)
    assert ours.shape == our_shape
    np.testing.assert_array_equal(transform.to_torch(ours), array, strict=True)


def test_conv_moves_each_number_to_its_place():
    weight = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    assert CONV.to_ours(weight)[3, 1, 2, 0] == weight[0, 2, 3, 1]  # [y, x, i, o] from [o, i, y, x]


TABLE = {"a.weight": ("a/kernel", LINEAR), "a.scale": ("a/scale", IDENTITY)}
EXPECTED = {"a/kernel": jax.ShapeDtypeStruct((3, 2), np.float32), "a/scale": jax.ShapeDtypeStruct((), np.float32)}


def _arrays():
    return {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.scale": np.float32(2).reshape(())}


def test_round_trip_is_exact_and_contiguous():
    weights = rules.to_ours(TABLE, _arrays(), EXPECTED)
    assert weights["a/kernel"].flags.c_contiguous and weights["a/scale"].shape == ()
    for name, array in rules.to_torch(TABLE, weights).items():
        np.testing.assert_array_equal(array, _arrays()[name], strict=True)


def test_ignored_arrays_need_a_reason_by_name():
    arrays = _arrays() | {"filter": np.ones(4, np.float32)}
    with pytest.raises(ConversionError, match="filter is unknown"):
        rules.to_ours(TABLE, arrays, EXPECTED)
    assert rules.to_ours(TABLE, arrays, EXPECTED, ignored={"filter": "kept elsewhere"}).keys() == EXPECTED.keys()


def test_all_problems_come_in_one_error():
    arrays = {"a.weight": np.zeros((4, 4), np.float32), "x": np.zeros(1)}
    expected = EXPECTED | {"b/bias": jax.ShapeDtypeStruct((1,), np.float32)}
    with pytest.raises(ConversionError) as caught:
        rules.to_ours(TABLE, arrays, expected)
    for part in (
        "a.scale is missing",
        "x is unknown",
        "no array becomes b/bias",
        r"(4, 4), which does not become (3, 2)",
    ):
        assert part in str(caught.value)


def test_dtype_and_number_of_dimensions_must_agree():
    with pytest.raises(ConversionError, match=r"a\.scale has dtype float64, expected float32"):
        rules.to_ours(TABLE, _arrays() | {"a.scale": np.zeros(())}, EXPECTED)
    with pytest.raises(ConversionError, match=r"a\.weight has shape \(6,\)"):
        rules.to_ours(TABLE, _arrays() | {"a.weight": np.zeros(6, np.float32)}, EXPECTED)


def test_way_back_needs_exactly_the_paths_of_the_table():
    with pytest.raises(ConversionError, match="a/scale, b"):
        rules.to_torch(TABLE, {"a/kernel": np.zeros((3, 2)), "b": np.zeros(1)})
