"""Whole photographs that are changed in places and written again: depth, transparency, profile and EXIF are kept."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt, UInt8
from PIL import ExifTags, Image

from jaxgan.files import replacing
from jaxgan.images import EXIF_ORIENTATION, UPRIGHT, ImageError, gray_8bit, open_picture

SUFFIXES = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg"}
_JPEG = {"quality": 95, "subsampling": 0}
# What describes the picture; the other tags of a TIFF file say where in the file its pixels lie.
_TIFF_TAGS = ("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright")


class PhotoFile(NamedTuple):
    """A photograph as it was read, upright."""

    pixels: UInt[np.ndarray, "H W 3"]  # RGB, uint8 or uint16
    alpha: UInt[np.ndarray, "H W"] | None  # of the same depth
    is_gray: bool  # the file has one channel; in `pixels` it stands three times
    icc_profile: bytes | None
    exif: bytes | None  # of an upright picture
    notes: tuple[str, ...]  # what of the file could not be kept, for the user


def read(path: str | os.PathLike[str]) -> PhotoFile:
    """Reads a photograph with all that is to be written again.

    PNG and TIFF files of 16 bits per channel need the packages imagecodecs and tifffile for their full depth.
    Colour profiles are not applied: pixels stay what they are, and so does their profile.

    Args:
      path: as for `images.read_photo`.
    Raises:
      ImageError: as for `images.read_photo`.
    """
    path = Path(path)
    with open_picture(path) as picture:
        picture.load()
        notes = []
        orientation = picture.getexif().get(EXIF_ORIENTATION)
        exif = _upright_exif(picture, notes)
        deep = _deep_pixels(path, picture, notes)
        array = _eight_bits(picture, notes) if deep is None else deep  # [H, W, channels]
        if deep is None and orientation in UPRIGHT:
            upright = [Image.fromarray(array[..., i]).transpose(UPRIGHT[orientation]) for i in range(array.shape[2])]
            array = np.stack([np.asarray(channel) for channel in upright], axis=-1)
        elif orientation in UPRIGHT:
            array = _transposed(array, UPRIGHT[orientation])
        profile = picture.info.get("icc_profile") or None
        if profile and profile[16:20] not in ((b"GRAY",) if array.shape[2] < 3 else (b"RGB ",)):
            notes.append("its colour profile, which is not for RGB, is left out")
            profile = None
    alpha = np.ascontiguousarray(array[..., -1]) if array.shape[2] in (2, 4) else None
    is_gray = array.shape[2] < 3
    pixels = np.repeat(array[..., :1], 3, axis=2) if is_gray else np.ascontiguousarray(array[..., :3])
    return PhotoFile(pixels, alpha, is_gray, profile, exif, tuple(notes))


def to_8_bits(photo: PhotoFile) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels as the rest of the library sees them: 8 bits, transparent parts laid over white."""
    pixels = photo.pixels if photo.pixels.dtype == np.uint8 else _reduced_depth(photo.pixels)
    if photo.alpha is None:
        return pixels
    alpha = photo.alpha if photo.alpha.dtype == np.uint8 else _reduced_depth(photo.alpha)
    picture = Image.fromarray(np.dstack([pixels, alpha]))
    return np.array(Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB"))


def write(
    path: str | os.PathLike[str], pixels: UInt[np.ndarray, "H W 3"], like: PhotoFile, format_name: str
) -> tuple[str, ...]:
    """Writes changed pixels with all else that the photograph had; whole or not at all.

    Args:
      path: ends in the suffix of the format.
      pixels: of the shape and depth of `like.pixels`.
      like: what was read.
      format_name: a key of `SUFFIXES`; png keeps every pixel, tiff and webp those of 8 bits, jpeg none.
    Returns:
      What could not be kept, for the user.
    Raises:
      UserError: the path cannot be written to, or the format cannot hold the photo.
      ValueError: the pixels are of another shape or depth.
    """
    if pixels.shape != like.pixels.shape or pixels.dtype != like.pixels.dtype:
        raise ValueError(
            f"got pixels {pixels.dtype} {list(pixels.shape)}; expected those of the photo, "
            f"{like.pixels.dtype} {list(like.pixels.shape)}"
        )
    notes = []
    alpha, profile = like.alpha, like.icc_profile
    stays_gray = like.is_gray and bool((pixels[..., :1] == pixels[..., 1:]).all())
    if like.is_gray and not stays_gray and profile:
        profile = None
        notes.append("the photo was gray and has colours now: its colour profile, for gray, is left out")
    if format_name == "jpeg":
        notes.append("JPEG changes every pixel a little; png, tiff and webp keep the untouched ones")
        if alpha is not None:
            alpha = None
            notes.append("JPEG has no transparency: it is left out")
    if pixels.dtype == np.uint16 and format_name != "png":
        pixels = _reduced_depth(pixels)
        alpha = None if alpha is None else _reduced_depth(alpha)
        notes.append(f"the photo has 16 bits per channel, its {format_name} file 8; png keeps them")
    channels = [pixels[..., 0]] if stays_gray else [pixels[..., i] for i in range(3)]
    array = np.stack([*channels, *([] if alpha is None else [alpha])], axis=-1)
    with replacing(path, SUFFIXES[format_name]) as temporary:
        if array.dtype == np.uint16:
            _write_deep_png(temporary, array, profile, like.exif)
        else:
            options = {
                "png": {"compress_level": 6},
                # libtiff, which compresses, does not take EXIF data from Pillow
                "tiff": {"compression": "tiff_adobe_deflate"} if like.exif is None else {},
                "webp": {"lossless": True, "exact": True},
                "jpeg": _JPEG,
            }[format_name]
            kept = {"icc_profile": profile} | ({} if like.exif is None else {"exif": like.exif})
            try:
                Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(
                    temporary, format=format_name.upper(), **options, **kept
                )
            except ValueError as error:  # JPEG: 65500 pixels along a side and 64 KB of EXIF; WebP: 16383 pixels
                raise ImageError(f"{path}: {format_name} cannot hold this photo ({error}); choose png") from error
    return tuple(notes)


def _reduced_depth(values: UInt[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """16 bits to 8: v / 257, rounded; a channel at a time, as the steps between take four bytes a value."""
    reduced = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), 256):
        reduced[row : row + 256] = (values[row : row + 256].astype(np.uint32) + 128) // 257
    return reduced


def _eight_bits(picture: Image.Image, notes: list[str]) -> np.ndarray:
    """All channels of a picture [H, W, 1 to 4]: gray, gray and alpha, RGB or RGBA."""
    if picture.mode.startswith("I") or picture.mode == "F":
        if not any("are reduced to 8" in note for note in notes):
            notes.append("its gray values of more than 8 bits are reduced to 8")
        return np.asarray(gray_8bit(picture))[..., None]
    if picture.mode in ("1", "L"):
        mode = "LA" if picture.has_transparency_data else "L"
    elif picture.mode == "LA":
        mode = "LA"
    else:
        mode = "RGBA" if picture.has_transparency_data else "RGB"
    if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        notes.append(f"its {picture.mode} colours are written as RGB")
    return np.atleast_3d(np.array(picture.convert(mode)))


def _deep_pixels(path: Path, picture: Image.Image, notes: list[str]) -> np.ndarray | None:
    """The 16-bit pixels [H, W, 1 to 4] of a PNG or TIFF file, None if it has 8 bits or they cannot be had."""
    if picture.format == "PNG":
        with open(path, "rb") as file:
            is_deep = file.read(25)[24] == 16  # the IHDR chunk's bit depth
    else:
        is_deep = picture.format == "TIFF" and set(picture.tag_v2.get(258, (8,))) == {16}
    if not is_deep:
        return None
    try:
        import imagecodecs

        if picture.format == "PNG":
            array = imagecodecs.png_decode(path.read_bytes())
        else:
            import tifffile

            with tifffile.TiffFile(path) as file:
                array = file.pages[0].asarray()
    except ModuleNotFoundError as error:
        notes.append(
            f"its 16 bits per channel are reduced to 8, as the package {error.name} is not installed: "
            "pip install imagecodecs tifffile"
        )
        return None
    array = np.atleast_3d(array)
    is_known = array.dtype == np.uint16 and array.shape[:2] == picture.size[::-1] and array.shape[2] <= 4
    if not is_known or (picture.format == "TIFF" and picture.tag_v2.get(262) not in (1, 2)):  # black is zero, RGB
        notes.append("its 16 bits per channel are reduced to 8: this kind of file is not known")
        return None
    return array


def _transposed(array: np.ndarray, how: Image.Transpose) -> np.ndarray:
    """What `Image.transpose` does, for arrays that Pillow cannot hold."""
    return np.ascontiguousarray(
        {
            Image.Transpose.FLIP_LEFT_RIGHT: lambda a: a[:, ::-1],
            Image.Transpose.ROTATE_180: lambda a: a[::-1, ::-1],
            Image.Transpose.FLIP_TOP_BOTTOM: lambda a: a[::-1],
            Image.Transpose.TRANSPOSE: lambda a: a.swapaxes(0, 1),
            Image.Transpose.ROTATE_270: lambda a: a.swapaxes(0, 1)[:, ::-1],
            Image.Transpose.TRANSVERSE: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
            Image.Transpose.ROTATE_90: lambda a: a.swapaxes(0, 1)[::-1],
        }[how](array)
    )


def _upright_exif(picture: Image.Image, notes: list[str]) -> bytes | None:
    """The EXIF data with the orientation of an upright picture; the preview picture in it, now outdated, is dropped."""
    try:
        exif = picture.getexif()
        kept = Image.Exif()
        names = {ExifTags.Base[name] for name in _TIFF_TAGS} if picture.format == "TIFF" else set(exif)
        for tag in names & set(exif) - {EXIF_ORIENTATION, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}:
            kept[tag] = exif[tag]
        for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            if values := exif.get_ifd(part):
                kept.get_ifd(part).update(values)
                kept[part] = values
        if not len(kept):
            return None
        kept[EXIF_ORIENTATION] = 1
        return kept.tobytes()
    except Exception:  # Pillow has many for damaged EXIF data, which is no reason to refuse the photo
        notes.append("its EXIF data is damaged, and is left out")
        return None


def _write_deep_png(path: Path, array: np.ndarray, profile: bytes | None, exif: bytes | None) -> None:
    """A PNG file of 16 bits with its extra chunks (PNG specification, third edition, 11.3)."""
    height, width, channels = array.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    packer = zlib.compressobj(6)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
        if profile:
            _write_chunk(file, b"iCCP", b"ICC profile\0\0" + zlib.compress(profile))
        if exif:
            _write_chunk(file, b"eXIf", exif.removeprefix(b"Exif\0\0"))
        above = np.zeros(width * channels * 2, np.uint8)
        for row in array:
            values = row.astype(">u2").reshape(-1).view(np.uint8)
            packed = packer.compress(b"\x02" + (values - above).tobytes())  # filter 2: the difference to the row above
            above = values
            if packed:
                _write_chunk(file, b"IDAT", packed)
        _write_chunk(file, b"IDAT", packer.flush())
        _write_chunk(file, b"IEND", b"")


def _write_chunk(file, name: bytes, content: bytes) -> None:
    file.write(struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content)))
