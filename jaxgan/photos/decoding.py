"""Decodes a picture file into an array that keeps all the bits of its channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt
from PIL import ExifTags, Image, ImageOps, TiffTags
from PIL.TiffImagePlugin import TiffImageFile

from jaxgan.errors import ImageError

_BITS, _PHOTOMETRIC, _PLANES = 258, 262, 284  # TIFF 6.0, section 8
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2


def decode(path: Path, picture: Image.Image, notes: list[str]) -> UInt[np.ndarray, "H W c"]:
    """Decodes all channels of a picture and turns it upright.

    Args:
      path: the file.
      picture: the same file, opened by Pillow.
      notes: a list that receives a line for each property of the pixels that cannot be kept.
    Returns:
      Gray, gray and alpha, RGB, or RGBA, of 8 or 16 bits.
    Raises:
      ImageError: the file is a TIFF that nothing installed reads rightly.
      ValueError: the file has floating-point values outside of [0, 1] and [0, 255].
    """
    if picture.format == "PNG":
        array = _deep_png(path, notes)
    else:
        array = _special_tiff(path, picture, notes) if isinstance(picture, TiffImageFile) else None
    if array is None:
        array = _pillow_pixels(picture, notes)
    orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return array if orientation == 1 else _upright(array, orientation)


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turns each channel, as Pillow has no pictures of several channels of 16 bits."""
    channels = []
    for index in range(array.shape[2]):
        picture = Image.fromarray(np.ascontiguousarray(array[..., index]))
        picture.getexif()[ExifTags.Base.Orientation] = orientation
        channels.append(np.asarray(ImageOps.exif_transpose(picture)))
    return np.stack(channels, axis=-1)


def _pillow_pixels(picture: Image.Image, notes: list[str]) -> np.ndarray:
    """Reads the channels with Pillow, as 8 bits."""
    picture.load()
    if picture.mode.startswith("I") or picture.mode == "F":
        if not any("are reduced to 8" in note for note in notes):
            notes.append("its gray values of more than 8 bits are reduced to 8")
        return _gray_8_bits(picture)[..., None]
    if picture.mode in ("1", "L", "LA"):
        mode = "LA" if picture.has_transparency_data else "L"
    else:
        mode = "RGBA" if picture.has_transparency_data else "RGB"
    if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        notes.append(f"its {picture.mode} colours are written as RGB")
    return np.atleast_3d(np.array(picture.convert(mode)))


def _gray_8_bits(picture: Image.Image) -> np.ndarray:
    values = np.array(picture).astype(np.float32)
    low, high = values.min(), values.max()
    if picture.mode == "F":
        full, known = (1, "[0, 1] or [0, 255]") if high <= 1 else (255, "[0, 1] or [0, 255]")
    else:
        full, known = 65535, "[0, 65535]"
    if not (low >= 0 and high <= full):  # so written, NaN is refused too
        raise ValueError(f"gray values from {low:g} to {high:g}, not within {known}")
    return np.rint(values * np.float32(255 / full)).astype(np.uint8)


def _deep_png(path: Path, notes: list[str]) -> np.ndarray | None:
    """Reads a PNG file of 16 bits; returns None for one of 8 bits, or if the package for it is not installed."""
    with open(path, "rb") as file:
        if file.read(25)[24] != 16:  # the IHDR chunk's bit depth
            return None
    try:
        import imagecodecs
    except ModuleNotFoundError as error:
        notes.append(_reduced(error))
        return None
    array = np.atleast_3d(imagecodecs.png_decode(path.read_bytes()))
    return array if array.dtype == np.uint16 else None


def _special_tiff(path: Path, picture: TiffImageFile, notes: list[str]) -> np.ndarray | None:
    """Reads a TIFF file that Pillow would reduce to 8 bits or misread; returns None for the others.

    Pillow takes planes of 16 bits for interleaved channels, and the values of gray files of more than 8 bits as they
    are, though white may be zero and 12 bits may be all that there are.
    """
    bits = set(picture.tag_v2.get(_BITS, (1,)))
    kind, planes = picture.tag_v2.get(_PHOTOMETRIC), picture.tag_v2.get(_PLANES, 1)
    if max(bits) <= 8:
        is_simple = planes == 1 or kind == _RGB
    else:  # integers of 32 bits and floating-point numbers
        is_simple = min(bits) > 16 and kind == _BLACK_IS_ZERO and planes == 1
    if is_simple:
        return None
    try:
        import imagecodecs  # noqa: F401  (tifffile decompresses with it)
        import tifffile
    except ModuleNotFoundError as error:
        if bits == {16} and planes == 1 and kind in (_BLACK_IS_ZERO, _RGB):
            notes.append(_reduced(error))
            return None
        raise ImageError(
            f"{path}: this kind of TIFF file needs the package {error.name}: pip install imagecodecs tifffile; "
            "or save it as PNG from an image editor"
        ) from error
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        array, axes = page.asarray(), page.axes
    depth, is_known = max(bits), kind in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
    if axes not in ("YX", "YXS", "SYX") or array.dtype not in (np.uint8, np.uint16) or len(bits) > 1 or not is_known:
        names = TiffTags.lookup(_PHOTOMETRIC).enum or {}
        name = next((text for text, value in names.items() if value == kind), kind)
        raise ImageError(
            f"{path}: a TIFF file of a kind that cannot be read ({name}, {array.dtype}, axes {axes}); expected gray "
            "or RGB of 8 or 16 bits: save it as PNG from an image editor"
        )
    array = np.atleast_3d(np.moveaxis(array, 0, -1) if axes == "SYX" else array)[..., :4]
    if kind == _WHITE_IS_ZERO:
        array[..., 0] = 2**depth - 1 - array[..., 0]
    if depth not in (8, 16):
        full = np.iinfo(array.dtype).max
        array = np.rint(array * (full / (2**depth - 1))).astype(array.dtype)
    return array


def _reduced(error: ModuleNotFoundError) -> str:
    return (
        f"its 16 bits per channel are reduced to 8, as the package {error.name} is not installed: "
        "pip install imagecodecs tifffile"
    )
