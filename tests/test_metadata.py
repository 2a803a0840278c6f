"""What a picture file holds beside its pixels comes through, or the user is told."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from jaxgan.photos import photo_files

CASES = Path(__file__).parent / "cases"
RAMP = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" xmlns:dc="dc">'
    "<dc:subject>Großmutter</dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
).encode()


def rewritten(photo, folder, format_name):
    """The file written with unchanged pixels, and the notes of that."""
    path = folder / f"out{photo_files.SUFFIXES[format_name]}"
    return path, photo_files.write(path, photo.pixels, photo, format_name)


def comment_of(picture):
    """A comment, wherever the format has it."""
    if picture.format in ("TIFF", "WEBP"):
        return picture.getexif()[ExifTags.Base.ImageDescription].encode("latin-1").decode()
    return picture.text["Comment"] if picture.format == "PNG" else picture.info["comment"].decode()


def dpi_of(picture):
    if picture.format == "WEBP":
        exif = picture.getexif()
        assert exif[ExifTags.Base.ResolutionUnit] == 2
        return [float(exif[ExifTags.Base.XResolution]), float(exif[ExifTags.Base.YResolution])]
    return [float(value) for value in picture.info["dpi"]]


@pytest.mark.parametrize("format_name", photo_files.SUFFIXES)
def test_resolution_xmp_and_comment_are_carried_over(tmp_path, format_name):
    photo = photo_files.read(CASES / "dpi_and_xmp.jpg")
    path, notes = rewritten(photo, tmp_path, format_name)
    assert not photo.notes and len(notes) == (format_name == "jpeg")
    with Image.open(path) as picture, Image.open(CASES / "dpi_and_xmp.jpg") as original:
        picture.load()
        xmp = picture.info.get("xmp") or picture.info["XML:com.adobe.xmp"].encode()
        assert xmp == original.info["xmp"]
        assert comment_of(picture) == "Oma, 1952"
        # PNG counts in whole pixels per metre: 11811 of them are 299.9994 pixels per inch.
        np.testing.assert_allclose(dpi_of(picture), [300, 300], rtol=1e-5)
    again = photo_files.read(path)
    assert again.metadata.xmp == photo.metadata.xmp
    if format_name != "webp":  # which has it among its EXIF data only
        np.testing.assert_allclose(again.metadata.dpi, [300, 300], rtol=1e-5)


@pytest.mark.parametrize("source", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("format_name", photo_files.SUFFIXES)
def test_xmp_loses_the_orientation_of_the_stored_picture(tmp_path, source, format_name):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    options = {"xmp": XMP, "exif": exif}
    if source == "png":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP)
        options = {"pnginfo": info, "exif": exif}
    elif source == "tif":
        exif[700] = XMP
    Image.fromarray(RAMP).save(tmp_path / f"in.{source}", **options)
    photo = photo_files.read(tmp_path / f"in.{source}")
    assert photo.pixels.shape == (30, 20, 3)
    assert photo.metadata.xmp == XMP.replace(b'tiff:Orientation="6"', b"")
    path, _ = rewritten(photo, tmp_path, format_name)
    again = photo_files.read(path)
    assert again.metadata.xmp == photo.metadata.xmp and again.pixels.shape == (30, 20, 3)


@pytest.mark.parametrize("format_name", photo_files.SUFFIXES)
def test_texts_of_png_files_are_carried_over(tmp_path, format_name):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Title", "Großmutter")
    Image.fromarray(RAMP).save(tmp_path / "in.png", pnginfo=info)
    path, _ = rewritten(photo_files.read(tmp_path / "in.png"), tmp_path, format_name)
    with Image.open(path) as picture:
        picture.load()
        if format_name == "png":
            assert picture.text == {"Title": "Großmutter"}
        else:
            assert comment_of(picture) == ("Title: " if format_name == "jpeg" else "") + "Großmutter"


def test_16_bit_png_files_keep_resolution_xmp_and_texts(tmp_path):
    kept = photo_files.read(CASES / "dpi_and_xmp.jpg").metadata
    deep = photo_files.PhotoFile(RAMP.astype(np.uint16) * 256, metadata=kept)
    path, _ = rewritten(deep, tmp_path, "png")
    with Image.open(path) as picture:
        picture.load()
        assert picture.text["Comment"] == "Oma, 1952" and picture.text["XML:com.adobe.xmp"].encode() == kept.xmp
        np.testing.assert_allclose(picture.info["dpi"], [300, 300], rtol=1e-5)


def test_what_a_format_has_no_place_for_is_told(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = "a description"
    Image.fromarray(RAMP).save(tmp_path / "in.jpg", exif=exif, comment="a comment")
    photo = photo_files.read(tmp_path / "in.jpg")
    for format_name in ("tiff", "webp"):
        _, notes = rewritten(photo, tmp_path, format_name)
        assert "its comment is left out" in notes[0]
    long = photo._replace(metadata=photo.metadata._replace(xmp=b"x" * 70_000, texts=(("Comment", "y" * 70_000),)))
    _, notes = rewritten(long, tmp_path, "jpeg")
    assert "XMP is too long for JPEG" in notes[1] and "comment is too long for JPEG" in notes[2]


def test_iptc_data_is_told(tmp_path):
    content = b"\x1c\x02\x19\x00\x06family"  # a keyword (record 2, data set 25)
    resource = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + len(content).to_bytes(4, "big") + content + b"\0"
    segment = b"\xff\xed" + (len(resource) + 2).to_bytes(2, "big") + resource
    Image.fromarray(RAMP).save(tmp_path / "in.jpg", extra=segment)
    assert photo_files.read(tmp_path / "in.jpg").notes == ("its IPTC data is left out",)


def test_a_resolution_that_nobody_stated_is_not_made_up(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"  # Pillow then makes up 72 pixels per inch
    Image.fromarray(RAMP).save(tmp_path / "in.jpg", exif=exif)
    Image.fromarray(RAMP).save(tmp_path / "in.tif")
    for name in ("in.jpg", "in.tif"):
        assert photo_files.read(tmp_path / name).metadata.dpi is None


@pytest.mark.parametrize("suffix, kind", [("tif", "pages"), ("gif", "frames"), ("webp", "frames"), ("png", "frames")])
def test_further_pages_are_told(tmp_path, suffix, kind):
    pictures = [Image.fromarray(RAMP), Image.fromarray(RAMP[::-1].copy()), Image.fromarray(RAMP[:, ::-1].copy())]
    pictures[0].save(tmp_path / f"in.{suffix}", save_all=True, append_images=pictures[1:])
    assert f"it has 3 {kind}, of which only the first is written" in photo_files.read(tmp_path / f"in.{suffix}").notes


def test_the_case_of_two_pages_has_one_note():
    assert photo_files.read(CASES / "two_pages.tif").notes == ("it has 2 pages, of which only the first is written",)
