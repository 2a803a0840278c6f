"""Which files are photographs, and how the others are refused."""

import os
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxgan.errors import ImageError
from jaxgan.photos import photo_files
from jaxgan.photos.opening import is_photo

CASES = Path(__file__).parent / "cases"
RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


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


def test_bad_files_are_refused_in_one_line(tmp_path):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("this is no picture\n" * 100)
    whole = photo_files.sample_photo_path().read_bytes()
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
        with pytest.raises(ImageError, match=match) as caught:
            photo_files.read_photo(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)
        assert "expected" in str(caught.value)


def test_heic_without_its_package_is_explained(tmp_path, monkeypatch):
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match="needs the package pillow-heif: pip install.*convert HEIC"):
        photo_files.read_photo(tmp_path / "phone.heic")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes (os.mkfifo)")
def test_named_pipe_is_refused_rather_than_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not an ordinary file"):
        photo_files.read_photo(tmp_path / "pipe.png")


# Pillow warns about the first and refuses the second itself; 400 million pixels would take 1.2 GB if decoded.
@pytest.mark.parametrize(
    "width, height, match", [(10001, 10000, "10001x10000 = 100.0"), (20000, 20000, "more than 179")]
)
def test_too_large_is_refused_before_decoding(tmp_path, width, height, match):
    (tmp_path / "large.png").write_bytes(png_header(width, height))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=f"{match} million pixels; expected at most 100 million"):
            photo_files.read_photo(tmp_path / "large.png")


def test_large_but_allowed_is_read_without_a_warning(tmp_path, monkeypatch):
    # Pillow warns above its own limit, here 300 in place of 89 million, and refuses above twice that.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    Image.fromarray(quarters()).save(tmp_path / "photo.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(photo_files.read_photo(tmp_path / "photo.png"), quarters())


def test_photographs_are_known_by_their_content(tmp_path):
    Image.fromarray(quarters()).save(tmp_path / "photo.png")
    for name in ("photo.jpg", "no_suffix", ".hidden.png"):
        (tmp_path / name).write_bytes((tmp_path / "photo.png").read_bytes())
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (tmp_path / "large.png").write_bytes(png_header(20000, 20000))
    (tmp_path / "notes.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "vector.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n")
    (tmp_path / "folder.png").mkdir()
    known = {path.name for path in tmp_path.iterdir() if is_photo(path)}
    assert known == {"photo.png", "photo.jpg", "no_suffix", "phone.heic", "large.png"}


def test_side_files_are_no_photographs_and_other_suffixes_are():
    assert not is_photo(CASES / "._IMG_0001.jpg") and is_photo(CASES / "saved_by_a_browser.jfif")
    assert photo_files.read_photo(CASES / "saved_by_a_browser.jfif").shape[2] == 3


def test_a_tiff_file_that_cannot_be_read_is_named_so(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((20, 20, 3), np.float32), photometric="rgb", metadata=None)
    with pytest.raises(ImageError, match="a TIFF file of a kind that cannot be read; expected gray or RGB of 8 or 16"):
        photo_files.read_photo(tmp_path / "float.tif")
