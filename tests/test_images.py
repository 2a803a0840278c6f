import os
import struct
import subprocess
import sys
import warnings
import zlib

import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxgan import images
from jaxgan.errors import UserError

RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


@pytest.fixture
def unchecked():
    """Turns jaxtyping's checks, which only tests have, off: what a user meets with a wrong array is our own message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def png_header(width, height):
    """A PNG file that declares a size and holds no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        for body in (chunk, b"IDAT" + zlib.compress(b""), b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def quarters():
    """16x24 (height x width): red, green over blue, white."""
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:8, :12], picture[:8, 12:], picture[8:, :12], picture[8:, 12:] = RED, GREEN, BLUE, WHITE
    return picture


def corners(photo):
    return [photo[y, x].tolist() for y in (0, -1) for x in (0, -1)]


def test_sample_photo_is_read_unchanged():
    photo = images.read_photo(images.sample_photo_path())
    assert photo.shape == (512, 512, 3) and photo.dtype == np.uint8 and photo.flags.writeable
    with Image.open(images.sample_photo_path()) as stored:
        np.testing.assert_array_equal(photo, np.asarray(stored))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm", "gif"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(quarters()).save(path)
    np.testing.assert_array_equal(images.read_photo(path), quarters())


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
    photo = images.read_photo(path)
    # JPEG: largest difference measured 1.
    np.testing.assert_allclose(corners(photo), [RED, GREEN, BLUE, WHITE], atol=0 if suffix == "png" else 8)
    assert photo.shape == (16, 24, 3)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_unreadable_exif_leaves_the_photo_as_stored(tmp_path, exif):
    path = tmp_path / "photo.jpg"
    Image.fromarray(quarters()).save(path, exif=exif)
    assert images.read_photo(path).shape == (16, 24, 3)


def test_grayscale_and_bilevel_become_equal_channels(tmp_path):
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(images.read_photo(tmp_path / "gray.png"), np.repeat(ramp[..., None], 3, axis=2))
    Image.fromarray(ramp >= 128).save(tmp_path / "bilevel.png")
    expected = np.repeat(np.uint8(255) * (ramp >= 128)[..., None], 3, axis=2)
    np.testing.assert_array_equal(images.read_photo(tmp_path / "bilevel.png"), expected)


def test_palette_becomes_its_colours(tmp_path):
    indices = np.arange(256, dtype=np.uint8).reshape(16, 16) % 3
    picture = Image.fromarray(indices).convert("P")
    picture.putpalette([*RED, *GREEN, 10, 20, 30])
    picture.save(tmp_path / "palette.png")
    expected = np.array([RED, GREEN, [10, 20, 30]], np.uint8)[indices]
    np.testing.assert_array_equal(images.read_photo(tmp_path / "palette.png"), expected)
    picture.save(tmp_path / "transparent.png", transparency=1)
    expected[indices == 1] = WHITE
    np.testing.assert_array_equal(images.read_photo(tmp_path / "transparent.png"), expected)


def test_cmyk_becomes_rgb(tmp_path):
    # Without a profile R = 255 (1 - C)(1 - K): C = 51 of 255, K = 0 gives 204; K = 255 gives black.
    ink = np.zeros((16, 32, 4), np.uint8)
    ink[:, :16] = [51, 0, 255, 0]
    ink[:, 16:] = [0, 0, 0, 255]
    Image.fromarray(ink, mode="CMYK").save(tmp_path / "ink.tif")
    assert corners(images.read_photo(tmp_path / "ink.tif")) == [[204, 255, 0], [0, 0, 0]] * 2


def test_transparency_is_laid_over_white(tmp_path):
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[:, :8] = [100, 0, 200, 51]  # a fifth of the colour, four fifths of 255: 224, 204, 244
    picture[:, 8:] = [1, 2, 3, 255]
    Image.fromarray(picture).save(tmp_path / "alpha.png")
    assert corners(images.read_photo(tmp_path / "alpha.png")) == [[224, 204, 244], [1, 2, 3]] * 2


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_16_bit_gray_is_scaled(tmp_path, suffix):
    # v / 257 rounded: 129 is just above half a step, 128 just below.
    values = np.zeros((16, 16), np.uint16)
    values[0, :7] = [0, 128, 129, 257, 32896, 65407, 65535]
    Image.fromarray(values).save(tmp_path / f"deep.{suffix}")
    photo = images.read_photo(tmp_path / f"deep.{suffix}")
    assert photo[0, :7, 0].tolist() == [0, 0, 1, 1, 128, 255, 255]
    np.testing.assert_array_equal(photo[..., 0], photo[..., 2])


@pytest.mark.parametrize("full", [1, 255])
def test_floating_point_gray_is_scaled(tmp_path, full):
    values = np.full((16, 16), 0.2 * full, np.float32)
    values[0, 0] = full
    Image.fromarray(values).save(tmp_path / "float.tif")
    assert corners(images.read_photo(tmp_path / "float.tif")) == [[255] * 3, [51] * 3, [51] * 3, [51] * 3]


@pytest.mark.parametrize("bad", [-1.0, 300.0, float("nan")])
def test_floating_point_gray_of_another_range_is_refused(tmp_path, bad):
    values = np.zeros((16, 16), np.float32)
    values[3, 4] = bad
    Image.fromarray(values).save(tmp_path / "float.tif")
    with pytest.raises(images.ImageError, match=r"not within \[0, 1\] or \[0, 255\]"):
        images.read_photo(tmp_path / "float.tif")


def test_bad_files_are_refused_in_one_line(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("this is no picture\n" * 100)
    whole = images.sample_photo_path().read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:5000])
    Image.fromarray(quarters()).resize((200, 200)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-300])
    (tmp_path / "vector.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(tmp_path / "dot.png")
    Image.fromarray(np.zeros((15, 400, 3), np.uint8)).save(tmp_path / "strip.png")
    expected = {
        "absent.png": "no such file",
        ".": "a folder",
        "empty.png": r"empty \(0 bytes\)",
        "text.jpg": "not an image in a known format",
        "cut.png": "damaged or unsupported image .*truncated",
        "cut.jpg": "damaged or unsupported image .*truncated",
        "vector.eps": "not an image in a known format",
        "dot.png": "the image is 1x1 pixels; expected 16x16 or more",
        "strip.png": "the image is 400x15 pixels",
    }
    for name, match in expected.items():
        with pytest.raises(images.ImageError, match=match) as caught:
            images.read_photo(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)
        assert "expected" in str(caught.value)


def test_heic_without_its_package_is_explained(tmp_path, monkeypatch):
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(images.ImageError, match="needs the package pillow-heif: pip install.*convert HEIC"):
        images.read_photo(tmp_path / "phone.heic")


def test_heic_is_read_upright(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    large = np.kron(quarters(), np.ones((8, 8, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # row 0 is the right side, read from the top
    stored = Image.fromarray(np.ascontiguousarray(large.swapaxes(0, 1)[::-1]))
    stored.save(tmp_path / "phone.heic", exif=exif.tobytes(), quality=95, chroma=444)
    photo = images.read_photo(tmp_path / "phone.heic")
    # Largest difference measured: 1.
    np.testing.assert_allclose(corners(photo), [RED, GREEN, BLUE, WHITE], atol=8)
    (tmp_path / "cut.heic").write_bytes((tmp_path / "phone.heic").read_bytes()[:400])
    with pytest.raises(images.ImageError, match="cut.heic: "):
        images.read_photo(tmp_path / "cut.heic")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes (os.mkfifo)")
def test_named_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(images.ImageError, match="not an ordinary file"):
        images.read_photo(tmp_path / "pipe.png")


# Pillow warns about the first and refuses the second itself; 400 million pixels would take 1.2 GB if decoded.
@pytest.mark.parametrize(
    "width, height, match", [(10001, 10000, "10001x10000 = 100.0"), (20000, 20000, "more than 179")]
)
def test_too_large_is_refused_before_decoding(tmp_path, width, height, match):
    (tmp_path / "large.png").write_bytes(png_header(width, height))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(images.ImageError, match=f"{match} million pixels; expected at most 100 million"):
            images.read_photo(tmp_path / "large.png")


def test_large_but_allowed_is_read_without_a_warning(tmp_path, monkeypatch):
    # Pillow warns above its own limit, here 300 in place of 89 million, and refuses above twice that.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    Image.fromarray(quarters()).save(tmp_path / "photo.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(images.read_photo(tmp_path / "photo.png"), quarters())


def test_mask_is_one_where_white(tmp_path):
    values = np.full((16, 20), 255, np.uint8)
    values[0, :4] = [0, 127, 128, 200]
    Image.fromarray(values).save(tmp_path / "mask.png")
    mask = images.read_mask(tmp_path / "mask.png")
    assert mask.dtype == np.float32 and mask.shape == (16, 20)
    assert mask[0, :4].tolist() == [0, 0, 1, 1] and mask[1:].all()


def test_mask_that_observes_nothing_is_refused(tmp_path):
    Image.fromarray(np.full((16, 16), 127, np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(images.ImageError, match="black everywhere.*white = keep, black = fill in"):
        images.read_mask(tmp_path / "mask.png")


def test_to_float_and_back_is_the_identity():
    values = np.arange(256, dtype=np.uint8).reshape(4, 64)
    assert images.to_float(values).dtype == np.float32
    assert images.to_float(values)[0, 0] == -1 and images.to_float(values)[-1, -1] == 1
    np.testing.assert_array_equal(images.to_uint8(images.to_float(values)), values)


@given(st.floats(-3, 3, width=32))
def test_to_uint8_is_the_nearest_level(value):
    level = int(images.to_uint8(np.array([value], np.float32))[0])
    # Half a level is the largest distance; float32 adds less than 3e-5 levels.
    assert abs(min(max((value + 1) * 127.5, 0), 255) - level) <= 0.5 + 3e-5


def test_to_uint8_clips_and_rounds_half_to_even():
    # (x + 1) * 127.5 for x = 0 is 127.5, the tie between 127 and 128.
    assert images.to_uint8(np.array([-np.inf, -7, 0.0, 7, np.inf])).tolist() == [0, 0, 128, 255, 255]


def test_conversions_refuse_the_wrong_kind(unchecked):
    with pytest.raises(TypeError, match="takes uint8 .* not float32"):
        images.to_float(np.zeros((2, 2), np.float32))
    with pytest.raises(TypeError, match="takes floating-point .* not uint8"):
        images.to_uint8(np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="1 NaN values of 4"):
        images.to_uint8(np.array([0, 1, np.nan, 0]))


def test_resize_by_whole_blocks_is_their_mean():
    image = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    # Blocks of 2 rows and 4 columns: mean of 24 y + 3 x + channel over y in {0, 1}, x in {0, 1, 2, 3} is 12 + 4.5.
    blocks = image.reshape(2, 2, 2, 4, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(blocks[0, 0], [16.5, 17.5, 18.5])
    np.testing.assert_allclose(images.resize(image, 2), blocks, atol=0.5)


@pytest.mark.parametrize("size", [7, 16, 40])
def test_resize_keeps_a_constant_and_gives_a_square(size):
    image = np.full((16, 20, 3), 77, np.uint8)
    np.testing.assert_array_equal(images.resize(image, size), np.full((size, size, 3), 77))


def test_resize_antialiases():
    # One-pixel stripes reduced 2.5 times: their mean is 127.5; sampling without a filter would give 0 or 255.
    stripes = np.tile(np.array([0, 255], np.uint8)[None, :, None], (40, 20, 3))
    inner = images.resize(stripes, 16)[:, 2:-2]
    assert np.abs(inner - 127.5).max() < 5  # measured: 0.5


def test_resize_refuses_other_arrays(unchecked):
    with pytest.raises(ValueError, match=r"\[H, W, 3\] of uint8, got float32 \[4, 4, 3\]"):
        images.resize(np.zeros((4, 4, 3), np.float32), 2)
    with pytest.raises(ValueError, match="size is 0"):
        images.resize(np.zeros((4, 4, 3), np.uint8), 0)


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_png_keeps_every_pixel(tmp_path, kind):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    images.write_png(path, quarters() if kind == "uint8" else images.to_float(quarters()))
    np.testing.assert_array_equal(images.read_photo(path), quarters())
    assert os.listdir(tmp_path) == ["out.png"]


@pytest.mark.parametrize("name", ["out.png", "out.gif"])
def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    def disk_full(self, file, *args, **kwargs):
        file.write_bytes(b"half a pict")
        raise OSError(28, "No space left on device")

    (tmp_path / name).write_bytes(b"old")
    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        if name == "out.png":
            images.write_png(tmp_path / name, quarters())
        else:
            images.write_gif(tmp_path / name, [images.to_float(quarters())])
    assert (tmp_path / name).read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


def test_png_is_not_written_to_a_bad_path_or_from_a_bad_array(tmp_path, unchecked):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=r"ends in \.png: write to out\.png"):
        images.write_png(tmp_path / "out.jpg", quarters())
    with pytest.raises(UserError, match="there is no folder .*absent; create it"):
        images.write_png(tmp_path / "absent" / "out.png", quarters())
    with pytest.raises(UserError, match="a folder of that name"):
        images.write_png(tmp_path / "folder.png", quarters())
    with pytest.raises(ValueError, match=r"\[H, W, 3\] of uint8, got uint8 \[16, 24\]"):
        images.write_png(tmp_path / "out.png", quarters()[..., 0])
    with pytest.raises(ValueError, match="NaN"):
        images.write_png(tmp_path / "out.png", np.full((16, 16, 3), np.nan))
    assert os.listdir(tmp_path) == ["folder.png"]


def test_gif_holds_every_frame_and_rests_on_the_last(tmp_path):
    sample = images.resize(images.read_photo(images.sample_photo_path()), 64)
    frames = [sample, sample[:, ::-1], sample[::-1]]
    images.write_gif(tmp_path / "out.gif", [images.to_float(frame) for frame in frames], milliseconds=80)
    with Image.open(tmp_path / "out.gif") as animation:
        assert animation.n_frames == 3 and animation.info["loop"] == 0
        for index, (frame, milliseconds) in enumerate(zip(frames, [80, 80, 1500], strict=True)):
            animation.seek(index)
            shown = np.asarray(animation.convert("RGB")).astype(float)
            assert animation.info["duration"] == milliseconds
            # Each frame has 256 colours of its own: root mean square 3.3 of 255 measured.
            assert np.sqrt(np.mean((shown - frame) ** 2)) < 6
    assert os.listdir(tmp_path) == ["out.gif"]


def test_gif_refuses_what_it_cannot_show(tmp_path):
    frame = images.to_float(quarters())
    with pytest.raises(ValueError, match="one or more frames of one size; got 0"):
        images.write_gif(tmp_path / "out.gif", [])
    with pytest.raises(ValueError, match="got 2 of sizes"):
        images.write_gif(tmp_path / "out.gif", [frame, frame[:8]])
    with pytest.raises(ValueError, match="milliseconds=10"):
        images.write_gif(tmp_path / "out.gif", [frame], milliseconds=10)


def test_import_needs_no_heavy_package():
    code = "import sys; import jaxgan.images; print(sorted({'dlib', 'skimage', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
