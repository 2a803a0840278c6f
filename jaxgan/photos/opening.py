"""Opens picture files and refuses, in one line, those that are none."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from jaxgan.errors import ImageError

MAX_PIXELS = 100_000_000  # the largest pictures of phones have to be reduced first
MIN_SIDE = 16  # a smaller picture shows no face

# The formats are named, so that opening a file never starts another program (Pillow hands EPS to Ghostscript).
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # ISO/IEC 23008-12, in bytes 8 to 11
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def is_photo(path: str | os.PathLike[str]) -> bool:
    """Tells whether a file of a folder is a photograph, by its first bytes; its suffix does not matter.

    Files whose names begin with a dot are none: other programs keep notes and previews in them. A photograph may still
    turn out to be damaged, too small or too large when it is read.

    Args:
      path: any path.
    """
    path = Path(path)
    if path.name.startswith(".") or not path.is_file():
        return False
    try:
        if _is_heif(path):
            return True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS):
                return True
    except Image.DecompressionBombError:  # it is too large, which the user is told when it is read
        return True
    except Exception:  # each of Pillow's formats has its own exceptions for damaged headers
        return False


@contextmanager
def open_picture(path: str | os.PathLike[str], *, most_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Opens an image file with Pillow, as the body of a `with`; errors in that body become one line for the user.

    Args:
      path: a PNG, JPEG, WebP, TIFF, BMP, GIF, PPM or HEIC file of 16x16 up to 100 million pixels, which is checked
        before anything is decoded; HEIC needs the package pillow-heif.
      most_pixels: a smaller limit than those 100 million.
    Raises:
      ImageError: there is no such file, it is no image, its size is out of range, or its pixels cannot be read.
    """
    path = Path(path)
    _check_is_file(path)
    formats = _FORMATS + _heif_format(path)
    # Pillow warns from 89 million pixels on and refuses from 179 million on; our limit, checked below, lies between.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=formats) as picture:
                _check_size(path, *picture.size, most_pixels)
                yield picture
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            assert Image.MAX_IMAGE_PIXELS is not None  # or Pillow would not refuse
            size = f"more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} million pixels"
            raise _too_large(path, size, most_pixels) from error
        except Image.UnidentifiedImageError as error:
            raise _unknown(path) from error
        except Exception as error:  # each of Pillow's decoders has its own exceptions for damaged files
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ImageError(
                f"{path}: damaged or unsupported image ({reason}); expected a whole PNG or JPEG file: "
                "copy it again, or save it anew from an image editor"
            ) from error


def _unknown(path: Path) -> ImageError:
    with open(path, "rb") as file:
        is_tiff = file.read(4) in _TIFF_STARTS
    if is_tiff:
        return ImageError(
            f"{path}: a TIFF file of a kind that cannot be read; expected gray or RGB of 8 or 16 bits: "
            "save it as PNG from an image editor"
        )
    return ImageError(
        f"{path}: not an image in a known format; expected PNG, JPEG, WebP, TIFF, BMP, GIF, PPM or HEIC "
        "(convert RAW, PDF or SVG to PNG or JPEG first)"
    )


def _is_heif(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS


def _heif_format(path: Path) -> tuple[str, ...]:
    """Returns Pillow's name of the format if the file is HEIC, which it reads with the help of another package."""
    if not _is_heif(path):
        return ()
    try:
        import pillow_heif
    except ModuleNotFoundError as error:
        raise ImageError(
            f"{path}: reading HEIC needs the package pillow-heif: pip install pillow-heif; or convert HEIC to JPEG"
        ) from error
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise ImageError(f"{path}: a folder; expected an image file: name a file inside it")
    if not path.exists():
        raise ImageError(f"{path}: no such file; expected an image file: check the spelling and the folder")
    if not path.is_file():
        raise ImageError(f"{path}: not an ordinary file; expected an image file: save the image to disk first")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file is empty (0 bytes); expected an image file: copy or download it again")


def _check_size(path: Path, width: int, height: int, most_pixels: int) -> None:
    if width * height > most_pixels:
        raise _too_large(path, f"{width}x{height} = {width * height / 1e6:.1f} million pixels", most_pixels)
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{path}: the image is {width}x{height} pixels; "
            f"expected {MIN_SIDE}x{MIN_SIDE} or more: use a larger version"
        )


def _too_large(path: Path, size: str, most_pixels: int) -> ImageError:
    return ImageError(
        f"{path}: the image has {size}; expected at most {most_pixels / 1e6:g} million: "
        "reduce it, or crop it around the face"
    )
