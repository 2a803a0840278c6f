"""The pixels of picture files of many kinds."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgan.errors import ImageError
from jaxgan.photos import photo_files

CASES = Path(__file__).parent / "cases"
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


def read_tiff(path, **options):
    """Writes noise as a TIFF file by another program, and gives what it holds, [H, W, C], as it was written."""
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    array, full = options.pop("array"), options.pop("full")
    stored = np.moveaxis(array, -1, 0) if options.get("planarconfig") == "separate" else array
    if options["photometric"] == "miniswhite":
        stored = stored.copy()
        stored[..., 0] = full - stored[..., 0]
    if stored.shape[-1] == 1:
        stored = stored[..., 0]
    tifffile.imwrite(path, stored, metadata=None, **options)
    return photo_files.read(path)


@pytest.mark.parametrize("compression", [None, "deflate", "lzw"])
@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_planes_are_read_as_channels(tmp_path, compression, byteorder, planarconfig, dtype, channels):
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (20, 26, channels), dtype=dtype)
    photo = read_tiff(
        tmp_path / "in.tif",
        array=array,
        full=None,
        photometric="rgb",
        planarconfig=planarconfig,
        compression=compression,
        byteorder=byteorder,
        extrasamples=["unassalpha"] if channels == 4 else None,
    )
    np.testing.assert_array_equal(photo.pixels, array[..., :3])
    if channels == 4:
        np.testing.assert_array_equal(photo.alpha, array[..., 3])
    assert not photo.notes


@pytest.mark.parametrize(
    "photometric, bits",
    [("minisblack", bits) for bits in (4, 8, 12, 16)] + [("miniswhite", bits) for bits in (4, 8, 16)],
)
def test_white_may_be_zero_and_bits_may_be_few(tmp_path, photometric, bits):
    dtype, full = (np.uint8 if bits <= 8 else np.uint16), 2**bits - 1
    values = np.random.default_rng(0).integers(0, full + 1, (20, 26, 1), dtype=dtype)
    photo = read_tiff(tmp_path / "in.tif", array=values, full=full, photometric=photometric, bitspersample=bits)
    # White is the highest value of the type: v * 255 / 15, v * 65535 / 4095, rounded.
    expected = np.rint(values[..., 0] * (np.iinfo(dtype).max / full))
    np.testing.assert_array_equal(photo.pixels[..., 0], expected)
    assert photo.is_gray and photo.pixels.dtype == dtype


@pytest.mark.parametrize("name", ["rgb16_planar.tif", "gray16_white_is_zero.tif"])
def test_deep_tiff_cases_are_what_tifffile_reads(name):
    tifffile = pytest.importorskip("tifffile")
    stored = tifffile.imread(CASES / name)
    photo = photo_files.read(CASES / name)
    if name.startswith("rgb"):
        np.testing.assert_array_equal(photo.pixels, np.moveaxis(stored, 0, -1))
    else:
        np.testing.assert_array_equal(photo.pixels[..., 1], 65535 - stored)


@pytest.mark.parametrize("name", ["rgb16_planar.tif", "gray16_white_is_zero.tif"])
def test_deep_tiff_cases_are_refused_without_the_packages(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ImageError, match="needs the package (tifffile|imagecodecs): pip install"):
        photo_files.read_photo(CASES / name)


@pytest.mark.parametrize(
    "dtype, options, said",
    [
        ("float32", {"photometric": "miniswhite"}, "of a kind that cannot be read"),
        ("float32", {"photometric": "rgb"}, "of a kind that cannot be read"),
        ("int16", {"photometric": "minisblack"}, "of a kind that cannot be read"),
        ("uint16", {"photometric": "miniswhite", "bitspersample": 12}, "of a kind that cannot be read"),
        ("uint32", {"photometric": "minisblack"}, "gray values from"),
        ("uint16", {"photometric": "separated"}, "of a kind that cannot be read"),
        ("uint8", {"photometric": "separated", "planarconfig": "separate"}, "of a kind that cannot be read"),
    ],
)
def test_tiff_files_of_other_kinds_are_refused(tmp_path, dtype, options, said):
    tifffile = pytest.importorskip("tifffile")
    channels = {"rgb": 3, "separated": 4}.get(options["photometric"], 1)
    values = np.random.default_rng(0).uniform(0, 1, (20, 26, channels))
    full = 1 if dtype == "float32" else 2 ** options["bitspersample"] - 1 if "bitspersample" in options else None
    values = (values * (np.iinfo(dtype).max if full is None else full)).astype(dtype)
    values = np.moveaxis(values, -1, 0) if "planarconfig" in options else values[..., :channels]
    tifffile.imwrite(tmp_path / "in.tif", values[..., 0] if channels == 1 else values, metadata=None, **options)
    with pytest.raises(ImageError, match=said):
        photo_files.read_photo(tmp_path / "in.tif")


def test_a_16_bit_picture_that_uses_few_bits_gives_a_hint():
    (hint,) = photo_files.read(CASES / "gray12_in_16.png").hints
    assert "very dark, its brightest value is 4015 of 65535; 12 bits in 16? If so, multiply its values by 16" in hint
    assert not photo_files.read(CASES / "gray16_white_is_zero.tif").hints
