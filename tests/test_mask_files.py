"""Masks: white is kept, black is filled in."""

import numpy as np
import pytest
from PIL import Image

from jaxgan.errors import ImageError
from jaxgan.photos.mask_files import read_mask


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
