"""Masks: 1 where the pixel is observed."""

import numpy as np
import pytest

from jaxgan import masks


def test_strokes_depend_on_the_seed_only():
    first = masks.strokes(3, 64)
    assert first.shape == (64, 64) and first.dtype == np.float32
    np.testing.assert_array_equal(first, masks.strokes(3, 64))
    assert not np.array_equal(first, masks.strokes(4, 64))


@pytest.mark.parametrize("seed", range(5))
def test_strokes_are_in_proportion_at_every_resolution(seed):
    small, large = masks.strokes(seed, 64), masks.strokes(seed, 512)
    reduced = large.reshape(64, 8, 64, 8).mean((1, 3))
    inside = (reduced == 0) | (reduced == 1)  # pixels no edge runs through
    assert inside.mean() > 0.85  # smallest seen: 0.91
    np.testing.assert_array_equal(small[inside], reduced[inside])
    assert abs(small.mean() - large.mean()) < 0.02  # largest seen: 0.006


def test_lines_run_between_the_outer_thirds():
    mask = masks.lines(3, 128, count=1)
    rows, columns = np.nonzero(mask == 0)
    assert 0 < len(rows) < 0.15 * mask.size
    for places in (rows, columns):
        for end in (places.min(), places.max()):
            # half the width, .04 of the side, lies beyond an end
            assert not (1 / 3 + 0.05) * 128 < end < (2 / 3 - 0.05) * 128
    np.testing.assert_array_equal(mask, masks.lines(3, 128, count=1))
    missing = [1 - masks.lines(0, 64, count=count).mean() for count in (1, 5, 9, 13, 17)]
    assert missing == sorted(missing) and missing[-1] < 0.75


def test_strokes_hide_a_part_but_never_all():
    missing = [1 - masks.strokes(seed, 64).mean() for seed in range(200)]
    assert min(missing) > 0.05 and max(missing) < 0.4  # seen: 0.10 to 0.24
    assert {0.0, 1.0} == set(np.unique(masks.strokes(0, 64)))


def test_more_and_wider_strokes_hide_more():
    default = masks.strokes(0, 64)
    assert masks.strokes(0, 64, count=8).mean() < default.mean() < masks.strokes(0, 64, width=0.02).mean()


def test_box_by_hand():
    # Pixel centres at 1/8, 3/8, 5/8, 7/8: x from 0.25 to 0.8 holds the second and third, y below 0.3 the first.
    np.testing.assert_array_equal(
        masks.box(4, 0.25, 0.0, 0.8, 0.3), [[1, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    )


def test_half_by_hand():
    np.testing.assert_array_equal(masks.half(4), [[1, 1, 0, 0]] * 4)


@pytest.mark.parametrize(
    "sides",
    [
        (0.5, 0.1, 0.4, 0.9),
        (0.1, 0.9, 0.9, 0.9),
        (-0.1, 0.0, 1.0, 1.0),
        (0.0, 0.0, 1.01, 0.5),
        (0.0, 0.0, float("nan"), 1.0),
    ],
)
def test_impossible_boxes_are_told(sides):
    with pytest.raises(ValueError, match=r"is not \(left, top, right, bottom\) with 0 <= left < right <= 1"):
        masks.box(8, *sides)


def test_a_box_over_everything_is_told():
    with pytest.raises(ValueError, match="hides the whole picture; leave something to be observed"):
        masks.box(8, 0.0, 0.0, 1.0, 1.0)
