import sys

import jaxtyping
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from jaxgan.errors import ImageError, UserError
from jaxgan.photos import deep_png, photo_files
from jaxgan.photos.metadata import Metadata

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RAMP = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
DEEP = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)


def exif(orientation=1):
    values = Image.Exif()
    values[ExifTags.Base.Make] = "Maker"
    values[ExifTags.Base.Orientation] = orientation
    values.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2001:02:03 04:05:06"
    values.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return values


def assert_has_exif(path):
    with Image.open(path) as picture:
        kept = picture.getexif()
        assert kept[ExifTags.Base.Make] == "Maker" and kept.get(ExifTags.Base.Orientation, 1) == 1
        assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2001:02:03 04:05:06"
        assert kept.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
        assert picture.info["icc_profile"] == SRGB


def write_deep(path, array):
    """A 16-bit file by another program than ours."""
    imagecodecs, tifffile = pytest.importorskip("imagecodecs"), pytest.importorskip("tifffile")
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))
    else:
        tifffile.imwrite(path, array, photometric="rgb" if array.ndim == 3 else "minisblack")


@pytest.mark.parametrize("source", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("target", ["png", "tiff", "webp", "jpeg"])
def test_exif_profile_and_pixels_are_kept(tmp_path, source, target):
    path = tmp_path / f"in.{source}"
    options = {"lossless": True} if source == "webp" else {}
    Image.fromarray(RAMP).save(path, exif=exif(6).tobytes(), icc_profile=SRGB, **options)
    photo = photo_files.read(path)
    np.testing.assert_array_equal(photo.pixels, photo_files.read_photo(path))  # turned upright: 30 x 20
    assert photo.pixels.shape == (30, 20, 3) and photo.metadata.icc_profile == SRGB and not photo.notes
    np.testing.assert_array_equal(photo_files.to_8_bits(photo), photo.pixels)
    out = tmp_path / f"out{photo_files.SUFFIXES[target]}"
    notes = photo_files.write(out, photo.pixels, photo, target)
    assert_has_exif(out)
    if target == "jpeg":
        assert "changes every pixel" in notes[0]
    else:
        np.testing.assert_array_equal(photo_files.read_photo(out), photo.pixels)
        assert not notes


@pytest.mark.parametrize("source", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_stay_16_bits(tmp_path, source, channels):
    array = {1: DEEP[..., 0], 3: DEEP, 4: np.dstack([DEEP, DEEP[..., 0]])}[channels]
    if source == "tif" and channels == 4:
        pytest.skip("tifffile asks for the kind of alpha; PNG covers it")
    write_deep(tmp_path / f"in.{source}", array)
    photo = photo_files.read(tmp_path / f"in.{source}")
    assert photo.pixels.dtype == np.uint16 and photo.is_gray == (channels == 1) and not photo.notes
    assert photo_files.write(tmp_path / "out.png", photo.pixels, photo, "png") == ()
    import imagecodecs

    np.testing.assert_array_equal(imagecodecs.png_decode((tmp_path / "out.png").read_bytes()), array)
    notes = photo_files.write(tmp_path / "out.tif", photo.pixels, photo, "tiff")
    assert "16 bits per channel, its tiff file 8; png keeps them" in notes[0]


def test_16_bit_png_keeps_exif_and_profile(tmp_path):
    write_deep(tmp_path / "in.png", DEEP)
    photo = photo_files.read(tmp_path / "in.png")._replace(metadata=Metadata(SRGB, exif().tobytes()))
    photo_files.write(tmp_path / "out.png", photo.pixels, photo, "png")
    assert_has_exif(tmp_path / "out.png")
    again = photo_files.read(tmp_path / "out.png")
    np.testing.assert_array_equal(again.pixels, DEEP)
    assert again.metadata.icc_profile == SRGB
    # 8 bits are v / 257, rounded.
    np.testing.assert_array_equal(photo_files.to_8_bits(again), np.rint(DEEP / 257).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bits_are_turned_like_8(tmp_path, orientation):
    write_deep(tmp_path / "deep.png", (RAMP.astype(np.uint16)) * 257)
    # Our own writer puts the orientation, which write() always resets, beside another program's pixels.
    photo = photo_files.read(tmp_path / "deep.png")
    values = Image.Exif()
    values[ExifTags.Base.Orientation] = orientation
    deep_png.write(tmp_path / "turned.png", photo.pixels, [(b"eXIf", values.tobytes().removeprefix(b"Exif\0\0"))])
    Image.fromarray(RAMP).save(tmp_path / "flat.png", exif=values)
    deep, flat = photo_files.read(tmp_path / "turned.png"), photo_files.read(tmp_path / "flat.png")
    np.testing.assert_array_equal(deep.pixels, flat.pixels.astype(np.uint16) * 257)
    np.testing.assert_array_equal(flat.pixels, photo_files.read_photo(tmp_path / "flat.png"))


def test_16_bits_without_the_packages_say_so(tmp_path, monkeypatch):
    write_deep(tmp_path / "in.png", DEEP)
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    photo = photo_files.read(tmp_path / "in.png")
    assert photo.pixels.dtype == np.uint8 and "reduced to 8, as the package imagecodecs is not" in photo.notes[0]


def test_gray_stays_gray_until_it_has_colours(tmp_path):
    gray = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    gray = gray[:16] + b"GRAY" + gray[20:]  # only its declared colour space is looked at
    Image.fromarray(RAMP[..., 0]).save(tmp_path / "in.png", icc_profile=gray)
    photo = photo_files.read(tmp_path / "in.png")
    assert photo.is_gray and photo.metadata.icc_profile == gray and photo.pixels.shape == (20, 30, 3)
    assert photo_files.write(tmp_path / "same.png", photo.pixels, photo, "png") == ()
    with Image.open(tmp_path / "same.png") as picture:
        assert picture.mode == "L" and picture.info["icc_profile"] == gray
    coloured = photo.pixels.copy()
    coloured[3, 4] = [1, 2, 3]
    notes = photo_files.write(tmp_path / "coloured.png", coloured, photo, "png")
    assert "colour profile, for gray, is left out" in notes[0]
    with Image.open(tmp_path / "coloured.png") as picture:
        assert picture.mode == "RGB" and "icc_profile" not in picture.info
    np.testing.assert_array_equal(photo_files.read_photo(tmp_path / "coloured.png"), coloured)


def test_transparency_is_kept(tmp_path):
    picture = np.dstack([RAMP, RAMP[..., 0]])
    Image.fromarray(picture).save(tmp_path / "in.png")
    photo = photo_files.read(tmp_path / "in.png")
    np.testing.assert_array_equal(photo_files.to_8_bits(photo), photo_files.read_photo(tmp_path / "in.png"))
    for name in ("png", "tiff", "webp"):
        path = tmp_path / f"out{photo_files.SUFFIXES[name]}"
        assert photo_files.write(path, photo.pixels, photo, name) == ()
        with Image.open(path) as written:
            np.testing.assert_array_equal(np.asarray(written), picture)
    assert "no transparency" in photo_files.write(tmp_path / "out.jpg", photo.pixels, photo, "jpeg")[1]


@pytest.mark.parametrize("kind", ["CMYK", "P", "1", "LA", "float", "16-bit gray"])
def test_other_kinds_read_as_read_photo_does(tmp_path, kind):
    path = tmp_path / ("in.tif" if kind in ("CMYK", "float") else "in.png")
    picture = Image.fromarray(RAMP)
    if kind == "float":
        picture = Image.fromarray(RAMP[..., 0].astype(np.float32))
    elif kind == "16-bit gray":
        picture = Image.fromarray(DEEP[..., 0])
    else:
        picture = picture.convert(kind)
    picture.save(path)
    photo = photo_files.read(path)
    np.testing.assert_array_equal(photo_files.to_8_bits(photo), photo_files.read_photo(path))
    says_what_to_install = any("pip install imagecodecs" in note for note in photo.notes)
    assert len(photo.notes) == (kind in ("CMYK", "float") or says_what_to_install), photo.notes


def test_damaged_exif_is_left_out(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "in.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    photo = photo_files.read(tmp_path / "in.jpg")
    photo_files.write(tmp_path / "out.png", photo.pixels, photo, "png")
    np.testing.assert_array_equal(photo_files.read_photo(tmp_path / "out.png"), photo.pixels)


def test_heic_photos_keep_their_exif(tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    Image.fromarray(RAMP).resize((120, 80)).save(tmp_path / "in.heic", exif=exif().tobytes(), icc_profile=SRGB)
    photo = photo_files.read(tmp_path / "in.heic")
    photo_files.write(tmp_path / "out.png", photo.pixels, photo, "png")
    assert_has_exif(tmp_path / "out.png")


def test_what_cannot_be_written_is_refused(tmp_path):
    photo = photo_files.PhotoFile(RAMP)
    with pytest.raises(UserError, match=r"ends in \.png"):
        photo_files.write(tmp_path / "out.jpg", RAMP, photo, "png")
    wide = np.zeros((16, 17000, 3), np.uint8)
    with pytest.raises(ImageError, match=r"webp cannot hold this photo .*choose png"):
        photo_files.write(tmp_path / "out.webp", wide, photo._replace(pixels=wide), "webp")
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match="got pixels uint16"):
            photo_files.write(tmp_path / "out.png", DEEP, photo, "png")
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert not list(tmp_path.iterdir())
