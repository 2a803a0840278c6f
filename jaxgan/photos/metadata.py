"""Reads and writes the parts of a picture file beside its pixels: profile, EXIF, XMP, resolution and comments."""

from __future__ import annotations

import struct
import zlib
from typing import Any, NamedTuple

from PIL import ExifTags, Image, ImageOps, PngImagePlugin
from PIL.TiffImagePlugin import TiffImageFile

_ORIENTATION, _DESCRIPTION, _XMP, _IPTC = ExifTags.Base.Orientation, ExifTags.Base.ImageDescription, 700, 33723
# These tags of a TIFF file describe the picture; the others say where in the file its pixels lie.
_TIFF_TAGS = ("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright")
_JPEG_LIMIT = 65_000  # bytes of XMP data or of a comment; a segment of a JPEG file has 64 KB
_INCH = 0.0254  # metres


class Metadata(NamedTuple):
    """Everything that a picture file holds but its pixels."""

    icc_profile: bytes | None = None
    exif: bytes | None = None  # describes an upright picture
    xmp: bytes | None = None  # describes an upright picture
    dpi: tuple[float, float] | None = None  # pixels per inch, across and down
    texts: tuple[tuple[str, str], ...] = ()  # (keyword, text); the keyword of a JPEG comment is "Comment"


def read(picture: Image.Image, *, is_gray: bool, notes: list[str]) -> Metadata:
    """Reads everything that can be written again.

    Args:
      picture: a picture that Pillow has opened, with its pixels loaded.
      is_gray: True if the pixels have one colour channel, which the profile has to fit.
      notes: a list that receives a line for each thing that is left out.
    """
    profile = picture.info.get("icc_profile") or None
    if profile and profile[16:20] != (b"GRAY" if is_gray else b"RGB "):
        notes.append("its colour profile, which is not for RGB, is left out")
        profile = None
    if (count := getattr(picture, "n_frames", 1)) > 1:
        kind = {"TIFF": "pages", "GIF": "frames", "PNG": "frames", "WEBP": "frames"}.get(
            picture.format or "", "pictures"
        )
        notes.append(f"it has {count} {kind}, of which only the first is written")
    if 0x0404 in picture.info.get("photoshop", {}) or (isinstance(picture, TiffImageFile) and _IPTC in picture.tag_v2):
        notes.append("its IPTC data is left out")
    return Metadata(profile, _upright_exif(picture, notes), _upright_xmp(picture), _dpi(picture), _texts(picture))


def save_options(metadata: Metadata, format_name: str, notes: list[str]) -> dict[str, Any]:
    """Turns the metadata into the options of Pillow's `save`.

    Args:
      metadata: the metadata to write.
      format_name: png, tiff, webp or jpeg.
      notes: a list that receives a line for each thing that the format has no place for.
    """
    options: dict[str, Any] = {"icc_profile": metadata.icc_profile}
    if metadata.exif is not None:
        options["exif"] = metadata.exif
    if metadata.dpi is not None:
        options["dpi"] = metadata.dpi
    if format_name == "png":
        return options | {"pnginfo": _png_texts(metadata)}
    if format_name == "jpeg":
        texts = "\n".join(text if name == "Comment" else f"{name}: {text}" for name, text in metadata.texts).encode()
        for name, content in (("xmp", metadata.xmp), ("comment", texts)):
            if content and len(content) > _JPEG_LIMIT:
                notes.append(f"its {name.upper() if name == 'xmp' else name} is too long for JPEG and left out")
            elif content:
                options[name] = content
        return options
    exif = Image.Exif()
    exif.load(metadata.exif or b"")
    _describe(exif, metadata, format_name, notes)
    if format_name == "webp":
        if metadata.dpi is not None:
            exif[ExifTags.Base.XResolution], exif[ExifTags.Base.YResolution] = metadata.dpi
            exif[ExifTags.Base.ResolutionUnit] = 2
        if metadata.xmp is not None:
            options["xmp"] = metadata.xmp
    elif metadata.xmp is not None:
        exif[_XMP] = metadata.xmp
    return options | ({"exif": exif} if len(exif) else {})


def png_chunks(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """Turns the metadata into chunks of a PNG file, as names and contents.

    References:
      Portable Network Graphics (PNG) Specification, third edition, 11.3.
    """
    chunks = []
    if metadata.icc_profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc_profile)))
    if metadata.dpi:
        across, down = (round(value / _INCH) for value in metadata.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif.removeprefix(b"Exif\0\0")))
    return chunks + [chunk[:2] for chunk in _png_texts(metadata).chunks]


def _png_texts(metadata: Metadata) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for name, text in metadata.texts:
        info.add_text(name, text)
    if metadata.xmp:
        info.add_itxt("XML:com.adobe.xmp", metadata.xmp)
    return info


def _describe(exif: Image.Exif, metadata: Metadata, format_name: str, notes: list[str]) -> None:
    """Puts the comments where formats without comments have a description."""
    if not metadata.texts:
        return
    if _DESCRIPTION in exif:
        notes.append(f"its comment is left out: {format_name} has one place for it, which its description takes")
    else:
        exif[_DESCRIPTION] = "\n".join(text for _, text in metadata.texts).encode()


def _texts(picture: Image.Image) -> tuple[tuple[str, str], ...]:
    if isinstance(picture, PngImagePlugin.PngImageFile):
        raw = ("XML:com.adobe.xmp", "Raw profile type")
        return tuple((name, str(text)) for name, text in picture.text.items() if not name.startswith(raw))
    comment = picture.info.get("comment", b"")
    if isinstance(comment, bytes):
        try:
            comment = comment.decode()
        except UnicodeDecodeError:
            comment = comment.decode("latin-1")
    comment = comment.strip("\0")
    return (("Comment", comment),) if comment else ()


def _dpi(picture: Image.Image) -> tuple[float, float] | None:
    """Returns the resolution if the file states one; Pillow makes up 72 and 1 for some that do not."""
    dpi = picture.info.get("dpi")
    is_stated = True
    if picture.format in ("JPEG", "MPO"):
        is_stated = picture.info.get("jfif_unit", 0) in (1, 2) or ExifTags.Base.XResolution in picture.getexif()
    elif isinstance(picture, TiffImageFile):
        is_stated = ExifTags.Base.XResolution in picture.tag_v2
    return (float(dpi[0]), float(dpi[1])) if dpi and is_stated and min(dpi) > 0 else None


def _upright_xmp(picture: Image.Image) -> bytes | None:
    """Returns the XMP data without an orientation; Pillow removes it from the pictures that it turns."""
    xmp = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    if not xmp:
        return None
    carrier = Image.new("L", (1, 1))
    carrier.info["xmp"] = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    return ImageOps.exif_transpose(carrier).info["xmp"]


def _upright_exif(picture: Image.Image, notes: list[str]) -> bytes | None:
    """Returns the EXIF data of the upright picture, without the preview picture in it, which is outdated now."""
    try:
        exif = picture.getexif()
        kept = Image.Exif()
        names = {ExifTags.Base[name] for name in _TIFF_TAGS} if picture.format == "TIFF" else set(exif)
        for tag in names & set(exif) - {_ORIENTATION, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}:
            kept[tag] = exif[tag]
        for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            if values := exif.get_ifd(part):
                kept.get_ifd(part).update(values)
                kept[part] = values
        if not len(kept):
            return None
        kept[_ORIENTATION] = 1
        return kept.tobytes()
    except Exception:  # Pillow has many for damaged EXIF data, which is no reason to refuse the photo
        notes.append("its EXIF data is damaged, and is left out")
        return None
