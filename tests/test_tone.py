"""Photographs without colours of their own keep the tone that they have."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from jaxgan.photos import alignment, paste, photo_files, tone

CASES = Path(__file__).parent / "cases"
RAMP = np.linspace(0, 255, 64 * 64).reshape(64, 64, 1)


def sample_gray():
    return photo_files.read_photo(photo_files.sample_photo_path()).mean(axis=-1, keepdims=True)


def from_line(pixels, photo):
    """Distances [n] of pixels [n, 3] from the straight line that fits the photo's pixels [m, 3] best."""
    centre = photo.mean(axis=0)
    direction = np.linalg.svd(photo - centre, full_matrices=False)[2][0]
    off = pixels - centre
    return np.linalg.norm(off - np.outer(off @ direction, direction), axis=1)


def coloured_face(photo):
    """A face of strong colours in the middle of the photo."""
    c, half = np.array([109.5, 109.5]), np.array([70.0, 0.0])
    down = half[::-1]
    quad = alignment.AlignmentQuad(
        c, half, down, np.stack([c - half - down, c - half + down, c + half + down, c + half - down]), 140.0
    )
    plan = alignment.plan_alignment(quad, photo.shape[1::-1], 64)
    image = np.random.default_rng(0).uniform(0, 255, (64, 64, 3))
    image = ndimage.gaussian_filter(image, (4, 4, 0))
    image = np.rint(255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)
    return paste.RestoredFace(image, alignment.placement(plan, photo.shape[1::-1], 64))


@pytest.mark.parametrize("name", ["sepia_hole.png", "nearly_gray_hole.png"])
@pytest.mark.parametrize("with_face", [True, False])
def test_fillings_of_toned_photos_are_as_close_to_the_tone_as_the_photo(name, with_face):
    photo = photo_files.read_photo(CASES / name)
    hole = photo_files.read_photo(CASES / "hole_mask.png")[..., 0] < 128
    found = tone.find_tone(photo, hole)
    faces = [coloured_face(photo)] if with_face else []
    filled = paste.fill_holes(photo, hole, faces, tone=found)
    assert (filled[hole] != photo[hole]).any() and (filled[~hole] == photo[~hole]).all()
    known, new = photo[~hole].astype(float), filled[hole].astype(float)
    of_photo, of_filling = from_line(known, known), from_line(new, known)
    # Measured, mean and largest: sepia 0.33 and 0.73 in the photo, 0.31 and 0.73 in the filling; gray 1.04 and 1.65,
    # 0.04 and 0.82.
    assert of_filling.max() <= of_photo.max() and of_filling.mean() <= of_photo.mean()
    if name.startswith("sepia"):  # each colour is one of the photo's
        assert set(map(tuple, new)) <= set(map(tuple, known))
    coloured = paste.fill_holes(photo, hole, faces, tone=None)
    assert not with_face or from_line(coloured[hole].astype(float), known).max() > 10


@pytest.mark.parametrize("name", ["sepia_hole.png", "nearly_gray_hole.png"])
def test_replaced_faces_of_toned_photos_are_as_close_to_the_tone_as_the_photo(name):
    photo = photo_files.read_photo(CASES / name)
    hole = photo_files.read_photo(CASES / "hole_mask.png")[..., 0] < 128
    pasted = paste.replace_faces(photo, [coloured_face(photo)], tone=tone.find_tone(photo, hole))
    known = photo[~hole].astype(float)
    changed = (pasted != photo).any(axis=-1)
    assert changed.sum() > 10_000
    of_photo, of_faces = from_line(known, known), from_line(pasted[changed].astype(float), known)
    # Measured: sepia 0.33 and 0.73 in the photo, 0.31 and 1.01 in the faces, where they are brighter than the photo and
    # three channels are rounded anew, each by half a level at most.
    assert of_faces.mean() <= of_photo.mean() and of_faces.max() <= of_photo.max() + 0.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_tone_of_a_gray_photo_is_gray(dtype):
    levels = np.iinfo(dtype).max
    photo = np.rint(np.repeat(sample_gray(), 3, axis=2) * (levels / 255)).astype(dtype)
    found = tone.find_tone(photo)
    luminance = np.arange(levels + 1, dtype=np.float32) / levels
    colours = np.rint(tone.apply(found, luminance) * levels)
    np.testing.assert_array_equal(colours, np.repeat(np.arange(levels + 1)[:, None], 3, axis=1))


def test_a_16_bit_tone_is_met_between_the_levels_of_8_bits():
    colours = np.array([1.0, 0.9, 0.7])
    photo = np.rint(RAMP * 257 * colours).astype(np.uint16)
    found = tone.find_tone(photo)
    shown = tone.apply(found, np.float32(0.3777) * np.ones((1,), np.float32))[0]
    # The mean of the three factors is 13/15. Measured: within 1.5 of 65535 levels.
    np.testing.assert_allclose(shown, 0.3777 * colours * 15 / 13, atol=5 / 65535)


# Measured root mean square distances from the tone: 3.3 at quality 30, 1.3 for noise of 8 levels.
@pytest.mark.parametrize("quality", [95, 75, 30])
def test_jpeg_files_of_toned_photos_have_no_colours(tmp_path, quality):
    sepia = np.clip(sample_gray() * [1.12, 1.0, 0.8], 0, 255).astype(np.uint8)
    Image.fromarray(sepia).save(tmp_path / "sepia.jpg", quality=quality)
    found = tone.find_tone(photo_files.read_photo(tmp_path / "sepia.jpg"))
    middle = tone.apply(found, np.full(1, 0.4, np.float32))[0]
    # A third of 1.12 + 1 + 0.8 is 0.973. Measured: within 0.8 levels.
    np.testing.assert_allclose(middle * 255, 0.4 * 255 / 0.9733 * np.array([1.12, 1.0, 0.8]), atol=3)


def test_noise_of_the_channels_is_no_colour():
    noise = np.random.default_rng(0).normal(0, 8, (512, 512, 3))
    assert tone.find_tone(np.clip(np.rint(sample_gray() + noise), 0, 255).astype(np.uint8)) is not None


def test_photos_with_colours_have_no_tone():
    photo = photo_files.read_photo(photo_files.sample_photo_path())
    assert tone.find_tone(photo) is None
    faint = sample_gray() + 0.2 * (photo - sample_gray())
    assert tone.find_tone(np.clip(np.rint(faint), 0, 255).astype(np.uint8)) is None
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert tone.find_tone(noise) is None


def test_what_is_in_the_hole_does_not_count():
    photo = np.repeat(RAMP, 3, axis=2).astype(np.uint8)
    hole = np.zeros((64, 64), bool)
    hole[10:40, 10:40] = True
    photo[hole] = [255, 0, 0]
    assert tone.find_tone(photo) is None and tone.find_tone(photo, hole).is_exact
    assert tone.find_tone(photo, np.ones((64, 64), bool)) is None
