"""The pixels of picture files of many kinds."""

import numpy as np
import pytest
from PIL import Image

from jaxgan.errors import ImageError
from jaxgan.photos import photo_files

RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


def quarters():
    """16x24 (height x width): red, green over blue, white."""
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:8, :12], picture[:8, 12:], picture[8:, :12], picture[8:, 12:] = RED, GREEN, BLUE, WHITE
    return picture


def corners(photo):
    return [photo[y, x].tolist() for y in (0, -1) for x in (0, -1)]


def test_sample_photo_is_read_unchanged():
    photo = photo_files.read_photo(photo_files.sample_photo_path())
    assert photo.shape == (512, 512, 3) and photo.dtype == np.uint8 and photo.flags.writeable
    with Image.open(photo_files.sample_photo_path()) as stored:
        np.testing.assert_array_equal(photo, np.asarray(stored))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm", "gif"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(quarters()).save(path)
    np.testing.assert_array_equal(photo_files.read_photo(path), quarters())


# Where the corners red, green / blue, white of the upright picture are stored, for each EXIF orientation. By EXIF's
# definition the value names the sides that the stored row 0 and column 0 show: 6 = right, top; 8 = left, bottom; ...
@pytest.mark.parametrize(
    "orientation, stored",
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.swapaxes(0, 1)),  # row 0 is the left side, read from the top
        (6, lambda p: p.swapaxes(0, 1)[::-1]),  # row 0 is the right side, read from the top
        (7, lambda p: p.swapaxes(0, 1)[::-1, ::-1]),  # row 0 is the right side, read from the bottom
        (8, lambda p: p.swapaxes(0, 1)[:, ::-1]),  # row 0 is the left side, read from the bottom
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_exif_rotation_is_applied(tmp_path, orientation, stored, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored(quarters()))).save(path, exif=exif, quality=95, subsampling=0)
    photo = photo_files.read_photo(path)
    # JPEG: largest difference measured 1.
    np.testing.assert_allclose(corners(photo), [RED, GREEN, BLUE, WHITE], atol=0 if suffix == "png" else 8)
    assert photo.shape == (16, 24, 3)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_unreadable_exif_leaves_the_photo_as_stored(tmp_path, exif):
    path = tmp_path / "photo.jpg"
    Image.fromarray(quarters()).save(path, exif=exif)
    assert photo_files.read_photo(path).shape == (16, 24, 3)


def test_grayscale_and_bilevel_become_equal_channels(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(photo_files.read_photo(tmp_path / "gray.png"), np.repeat(ramp[..., None], 3, axis=2))
    Image.fromarray(ramp >= 128).save(tmp_path / "bilevel.png")
    expected = np.repeat(np.uint8(255) * (ramp >= 128)[..., None], 3, axis=2)
    np.testing.assert_array_equal(photo_files.read_photo(tmp_path / "bilevel.png"), expected)


def test_palette_becomes_its_colours(tmp_path):
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16) % 3
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([*RED, *GREEN, 10, 20, 30])
    picture.save(tmp_path / "palette.png")
    expected = np.array([RED, GREEN, [10, 20, 30]], np.uint8)[indices]
    np.testing.assert_array_equal(photo_files.read_photo(tmp_path / "palette.png"), expected)
    picture.save(tmp_path / "transparent.png", transparency=1)
    expected[indices == 1] = WHITE
    np.testing.assert_array_equal(photo_files.read_photo(tmp_path / "transparent.png"), expected)


def test_cmyk_becomes_rgb(tmp_path):
    # Without a profile R = 255 (1 - C)(1 - K): C = 51 of 255, K = 0 gives 204; K = 255 gives black.
    ink = np.zeros((16, 32, 4), np.uint8)
    ink[:, :16] = [51, 0, 255, 0]
    ink[:, 16:] = [0, 0, 0, 255]
    Image.fromarray(ink, mode="CMYK").save(tmp_path / "ink.tif")
    assert corners(photo_files.read_photo(tmp_path / "ink.tif")) == [[204, 255, 0], [0, 0, 0]] * 2


def test_transparency_is_laid_over_white(tmp_path):
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[:, :8] = [100, 0, 200, 51]  # a fifth of the colour, four fifths of 255: 224, 204, 244
    picture[:, 8:] = [1, 2, 3, 255]
    Image.fromarray(picture).save(tmp_path / "alpha.png")
    assert corners(photo_files.read_photo(tmp_path / "alpha.png")) == [[224, 204, 244], [1, 2, 3]] * 2


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_gray_is_scaled(tmp_path, suffix):
    # v / 257 rounded: 129 is just above half a step, 128 just below.
    values = np.zeros((16, 16), np.uint16)
    values[0, :7] = [0, 128, 129, 257, 32896, 65407, 65535]
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    photo = photo_files.read_photo(tmp_path / f"deep.{suffix}")
    assert photo[0, :7, 0].tolist() == [0, 0, 1, 1, 128, 255, 255]
    np.testing.assert_array_equal(photo[..., 0], photo[..., 2])


@pytest.mark.parametrize("full", [1, 255])
def test_floating_point_gray_is_scaled(tmp_path, full):
    values = np.full((16, 16), 0.2 * full, np.float32)
    values[0, 0] = full
    Image.fromarray(values).save(tmp_path / "float.tif")
    assert corners(photo_files.read_photo(tmp_path / "float.tif")) == [[255] * 3, [51] * 3, [51] * 3, [51] * 3]


@pytest.mark.parametrize("bad", [-1.0, 300.0, float("nan")])
def test_floating_point_gray_of_another_range_is_refused(tmp_path, bad):
    values = np.zeros((16, 16), np.float32)
    values[3, 4] = bad
    Image.fromarray(values).save(tmp_path / "float.tif")
    with pytest.raises(ImageError, match=r"not within \[0, 1\] or \[0, 255\]"):
        photo_files.read_photo(tmp_path / "float.tif")


def test_heic_is_read_upright(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    large = np.kron(quarters(), np.ones((8, 8, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # row 0 is the right side, read from the top
    stored = Image.fromarray(np.ascontiguousarray(large.swapaxes(0, 1)[::-1]))
    stored.save(tmp_path / "phone.heic", exif=exif.tobytes(), quality=95, chroma=444)
    photo = photo_files.read_photo(tmp_path / "phone.heic")
    # Largest difference measured: 1.
    np.testing.assert_allclose(corners(photo), [RED, GREEN, BLUE, WHITE], atol=8)
    (tmp_path / "cut.heic").write_bytes((tmp_path / "phone.heic").read_bytes()[:400])
    with pytest.raises(ImageError, match="cut.heic: "):
        photo_files.read_photo(tmp_path / "cut.heic")
