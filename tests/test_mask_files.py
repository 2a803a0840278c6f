"""Masks: white is kept, black is filled in."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgan.errors import ImageError
from jaxgan.photos.mask_files import read_mask

CASES = Path(__file__).parent / "cases"


def test_mask_is_one_where_white(tmp_path):
    values = np.full((16, 20), 255, np.uint8)
    values[0, :4] = [0, 127, 128, 200]
    Image.fromarray(values).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert mask.dtype == np.float32 and mask.shape == (16, 20)
    assert mask[0, :4].tolist() == [0, 0, 1, 1] and mask[1:].all()


def test_mask_that_observes_nothing_is_refused(tmp_path):
    Image.fromarray(np.full((16, 16), 127, np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(ImageError, match="black everywhere.*white = keep, black = fill in"):
        read_mask(tmp_path / "mask.png")


def test_a_mask_of_the_other_convention_is_noticed():
    path = CASES / "mask_white_is_hole.png"
    with pytest.raises(ImageError, match=r"hides 98% of .* invert it \(--invert-mask\); .* \(--trust-mask\)"):
        read_mask(path)
    inverted, as_is = read_mask(path, invert=True), read_mask(path, invert=False)
    assert 0.98 < inverted.mean() < 0.99
    np.testing.assert_array_equal(inverted, 1 - as_is)


def test_the_half_level_counts_as_white_either_way(tmp_path):
    Image.fromarray(np.array([[127, 128] * 8] * 16, np.uint8)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png")[0, :2], [0, 1])
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", invert=True)[0, :2], [1, 0])


def test_an_inverted_mask_that_observes_nothing_is_refused(tmp_path):
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(ImageError, match="white everywhere.*black = keep, white = fill in"):
        read_mask(tmp_path / "mask.png", invert=True)
