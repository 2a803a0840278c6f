"""Reads photographs, and writes them again after a change with everything else that their files held."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt, UInt8
from PIL import Image

from jaxgan.errors import ImageError
from jaxgan.files import replacing
from jaxgan.photos import deep_png, metadata
from jaxgan.photos.decoding import decode
from jaxgan.photos.metadata import Metadata
from jaxgan.photos.opening import open_picture

SUFFIXES = {"png": ".png", "tiff": ".tif", "webp": ".webp", "jpeg": ".jpg"}
_JPEG = {"quality": 95, "subsampling": 0}
_PARTLY_USED_BITS = 14  # cameras and scanners that do not use all 16 bits of a file use 10, 12 or 14


class PhotoFile(NamedTuple):
    """A photograph as it was read, upright."""

    pixels: UInt[np.ndarray, "H W 3"]  # RGB, uint8 or uint16
    alpha: UInt[np.ndarray, "H W"] | None = None  # has the same depth
    is_gray: bool = False  # the file has one colour channel; in `pixels` it stands three times
    metadata: Metadata = Metadata()
    notes: tuple[str, ...] = ()  # lines for the user on what could not be kept
    hints: tuple[str, ...] = ()  # lines for the user on what may be a mistake


def sample_photo_path() -> Path:
    """Returns the path of the portrait that comes with the package (512x512; credit in jaxgan/data/README.md)."""
    return Path(__file__).parent.parent / "data" / "astronaut.png"


def read_photo(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Reads an image file as upright 8-bit RGB, which is all that the rest of the library looks at.

    Args:
      path: the file, see `read`.
    Returns:
      Values in [0, 255]; transparent parts are laid over white.
    Raises:
      ImageError: the file cannot be read, see `read`.
    """
    return to_8_bits(read(path))


def read(path: str | os.PathLike[str]) -> PhotoFile:
    """Reads a photograph with everything that is to be written again.

    EXIF rotation is applied; palette and CMYK become RGB. Floating-point files hold [0, 1] or [0, 255]. Of an animation
    or of several pages the first picture is read. Files of 16 bits per channel need the packages imagecodecs and
    tifffile for their full depth. Colour profiles are not applied: pixels stay as they are, and so does their profile.

    Args:
      path: a PNG, JPEG, WebP, TIFF, BMP, GIF, PPM or HEIC file of 16x16 up to 100 million pixels.
    Returns:
      The pixels, and all that is needed to write them again.
    Raises:
      ImageError: the file is missing, or is no such image; the message says which and what to do.
    """
    path = Path(path)
    notes: list[str] = []
    with open_picture(path) as picture:
        array = decode(path, picture, notes)
        is_gray = array.shape[2] < 3
        kept = metadata.read(picture, is_gray=is_gray, notes=notes)
    alpha = np.ascontiguousarray(array[..., -1]) if array.shape[2] in (2, 4) else None
    pixels = np.repeat(array[..., :1], 3, axis=2) if is_gray else np.ascontiguousarray(array[..., :3])
    return PhotoFile(pixels, alpha, is_gray, kept, tuple(notes), _hints(pixels))


def to_8_bits(photo: PhotoFile) -> UInt8[np.ndarray, "H W 3"]:
    """Reduces the pixels to 8 bits and lays transparent parts over white."""
    pixels = photo.pixels if photo.pixels.dtype == np.uint8 else _reduced_depth(photo.pixels)
    if photo.alpha is None:
        return pixels
    alpha = photo.alpha if photo.alpha.dtype == np.uint8 else _reduced_depth(photo.alpha)
    picture = Image.fromarray(np.dstack([pixels, alpha]))
    return np.array(Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB"))


def write(
    path: str | os.PathLike[str], pixels: UInt[np.ndarray, "H W 3"], like: PhotoFile, format_name: str
) -> tuple[str, ...]:
    """Writes changed pixels with everything else that the photograph had, whole or not at all.

    Args:
      path: a path that ends in the suffix of the format.
      pixels: the changed pixels, with the shape and depth of `like.pixels`.
      like: the photograph as it was read.
      format_name: a key of `SUFFIXES`. The format png keeps every pixel, tiff and webp keep those of 8 bits, and jpeg
        keeps none.
    Returns:
      Lines for the user on what could not be kept.
    Raises:
      UserError: the path cannot be written to, or the format cannot hold the photo.
      ValueError: the pixels are of another shape or depth.
    """
    if pixels.shape != like.pixels.shape or pixels.dtype != like.pixels.dtype:
        raise ValueError(
            f"got pixels {pixels.dtype} {list(pixels.shape)}; expected those of the photo, "
            f"{like.pixels.dtype} {list(like.pixels.shape)}"
        )
    notes: list[str] = []
    alpha, kept = like.alpha, like.metadata
    stays_gray = like.is_gray and bool((pixels[..., :1] == pixels[..., 1:]).all())
    if like.is_gray and not stays_gray and kept.icc_profile:
        kept = kept._replace(icc_profile=None)
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
            deep_png.write(temporary, array, metadata.png_chunks(kept))
        else:
            _save(path, temporary, array, format_name, metadata.save_options(kept, format_name, notes))
    return tuple(notes)


def _save(path: str | os.PathLike[str], temporary: Path, array: np.ndarray, format_name: str, kept: dict) -> None:
    options: dict[str, dict[str, Any]] = {
        "png": {"compress_level": 6},
        # libtiff, which compresses, does not take EXIF data from Pillow
        "tiff": {} if "exif" in kept else {"compression": "tiff_adobe_deflate"},
        "webp": {"lossless": True, "exact": True},
        "jpeg": _JPEG,
    }
    picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    try:
        picture.save(temporary, format=format_name.upper(), **options[format_name], **kept)
    except ValueError as error:  # JPEG: 65500 pixels along a side and 64 KB of EXIF; WebP: 16383 pixels
        raise ImageError(f"{path}: {format_name} cannot hold this photo ({error}); choose png") from error


def _hints(pixels: np.ndarray) -> tuple[str, ...]:
    if pixels.dtype != np.uint16:
        return ()
    brightest = int(pixels.max())
    bits = brightest.bit_length()
    if not 0 < bits <= _PARTLY_USED_BITS:
        return ()
    bits += bits % 2
    return (
        f"it is very dark, its brightest value is {brightest} of 65535; {bits} bits in 16? If so, multiply its values "
        f"by {2 ** (16 - bits)} in an image editor first",
    )


def _reduced_depth(values: UInt[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Divides 16-bit values by 257 and rounds, some rows at a time to save memory."""
    reduced = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), 256):
        reduced[row : row + 256] = (values[row : row + 256].astype(np.uint32) + 128) // 257
    return reduced
