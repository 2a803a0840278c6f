"""Photographs, masks and animations: files <-> RGB arrays (Pillow)."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from jaxgan.errors import UserError
from jaxgan.files import replacing

MAX_PIXELS = 100_000_000  # 300 MB as RGB; today's largest phone pictures (200 million) have to be reduced first
MIN_SIDE = 16  # nothing smaller shows a face

# Named, so that opening a file never starts another program (Pillow hands EPS to Ghostscript).
_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # ISO/IEC 23008-12, in bytes 8 to 11
EXIF_ORIENTATION = 0x0112
UPRIGHT = {  # EXIF 2.32, section 4.6.4: value of the tag -> what turns the stored picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(UserError):
    """A file that cannot be used as the image asked for; the message is one line for the user."""


def sample_photo_path() -> Path:
    """Path of the portrait that comes with the package (512x512; credit in jaxgan/data/README.md)."""
    return Path(__file__).parent / "data" / "astronaut.png"


def read_photo(path: str | os.PathLike[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Reads an image file as upright 8-bit RGB.

    EXIF rotation is applied, transparent parts are laid over white, 16-bit values are scaled to 8 bit, grayscale,
    palette and CMYK become RGB. Floating-point files hold [0, 1] or [0, 255]. Of an animation the first frame is read.
    Colour profiles are not applied.

    Args:
      path: a PNG, JPEG, WebP, TIFF, BMP, GIF, PPM or HEIC file of 16x16 up to 100 million pixels (checked before
        decoding).
    Returns:
      The picture, values in [0, 255].
    Raises:
      ImageError: there is no such file, or it is no such image; the message says which and what to do.
    """
    with open_picture(path) as picture:
        return np.array(_rgb(picture))


@contextmanager
def open_picture(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Opens an image file with Pillow, as the body of a `with`; what goes wrong there is told in one line.

    Args:
      path: as for `read_photo`; a HEIC file needs the package pillow-heif.
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
                _check_size(path, *picture.size)
                yield picture
        except ImageError:
            raise
        except Image.DecompressionBombError as error:
            raise _too_large(path, f"more than {2 * Image.MAX_IMAGE_PIXELS / 1e6:.0f} million pixels") from error
        except Image.UnidentifiedImageError as error:
            raise ImageError(
                f"{path}: not an image in a known format; expected PNG, JPEG, WebP, TIFF, BMP, GIF, PPM or HEIC "
                "(convert RAW, PDF or SVG to PNG or JPEG first)"
            ) from error
        except Exception as error:  # each of Pillow's decoders has its own exceptions for damaged files
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ImageError(
                f"{path}: damaged or unsupported image ({reason}); expected a whole PNG or JPEG file: "
                "copy it again, or save it anew from an image editor"
            ) from error


def _heif_format(path: Path) -> tuple[str, ...]:
    """Pillow's name of the format if the file is HEIC, which it reads with the help of another package."""
    with open(path, "rb") as file:
        start = file.read(12)
    if start[4:8] != b"ftyp" or start[8:12] not in _HEIF_BRANDS:
        return ()
    try:
        import pillow_heif
    except ModuleNotFoundError as error:
        raise ImageError(
            f"{path}: reading HEIC needs the package pillow-heif: pip install pillow-heif; or convert HEIC to JPEG"
        ) from error
    pillow_heif.register_heif_opener()
    return ("HEIF",)


def read_mask(path: str | os.PathLike[str]) -> Float[np.ndarray, "H W"]:
    """Reads an inpainting mask: white = observed (kept), black = missing (filled in).

    Args:
      path: an image file as for `read_photo`; its luma is thresholded at half, transparent parts count as white.
    Returns:
      float32, 1 where the pixel is observed, 0 where it is missing.
    Raises:
      ImageError: as for `read_photo`, or the mask is black everywhere.
    """
    luma = np.array(Image.fromarray(read_photo(path)).convert("L"))
    mask = (luma >= 128).astype(np.float32)
    if not mask.any():
        raise ImageError(
            f"{path}: the mask is black everywhere, so nothing of the photo is observed; "
            "expected white = keep, black = fill in: invert it, or paint the part to keep white"
        )
    return mask


def to_float(image: UInt8[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Converts uint8 [0, 255] to float32 [-1, 1].

    Raises:
      TypeError: the array is not uint8.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise TypeError(f"to_float takes uint8 values in [0, 255], not {image.dtype}")
    return image.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(image: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Converts float [-1, 1] to uint8 [0, 255], clipping what lies outside and rounding half to even.

    Raises:
      TypeError: the values are integers or booleans.
      ValueError: a value is NaN.
    """
    image = np.asarray(image)
    if image.dtype.kind in "iub":
        raise TypeError(f"to_uint8 takes floating-point values in [-1, 1], not {image.dtype}")
    image = image.astype(np.float32)
    if np.isnan(image).any():
        raise ValueError(
            f"the image has {np.isnan(image).sum()} NaN values of {image.size}; expected numbers in [-1, 1]"
        )
    return np.clip(np.rint((image + 1) * np.float32(127.5)), 0, 255).astype(np.uint8)


def resize(image: UInt8[np.ndarray, "H W 3"], size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Resizes to a square, antialiased; an image that is not square is stretched.

    The mean of whole blocks where both sides are multiples of `size`, Lanczos otherwise.

    Raises:
      ValueError: the image is not uint8 RGB, or `size` is below 1.
    """
    _check_rgb(image)
    if size < 1:
        raise ValueError(f"size is {size}; expected a number of pixels, 1 or more")
    height, width = image.shape[:2]
    picture = Image.fromarray(image)
    if height % size == 0 and width % size == 0:
        # As Resampling.BOX, which rounds twice, once after each axis.
        return np.array(picture.reduce((width // size, height // size)))
    return np.array(picture.resize((size, size), Image.Resampling.LANCZOS))


def write_png(path: str | os.PathLike[str], image: UInt8[np.ndarray, "H W 3"] | Float[np.ndarray, "H W 3"]) -> None:
    """Writes a PNG file, whole or not at all (an existing file is replaced only once the new one is complete).

    Args:
      path: ends in .png; the folder exists.
      image: RGB, uint8 or floating-point values in [-1, 1].
    Raises:
      UserError: the path cannot be written to as a PNG file.
      ValueError: the image is not RGB, or has NaN values.
    """
    picture = _picture(image)
    with replacing(path, ".png") as temporary:
        picture.save(temporary, format="PNG")


def write_gif(
    path: str | os.PathLike[str],
    images: Sequence[UInt8[np.ndarray, "H W 3"] | Float[np.ndarray, "H W 3"]],
    *,
    milliseconds: int = 100,
    last_milliseconds: int = 1500,
) -> None:
    """Writes an animation that loops for ever and rests on its last frame; whole or not at all, as `write_png`.

    Args:
      path: ends in .gif; the folder exists.
      images: one or more frames of one size, RGB, uint8 or floating-point values in [-1, 1].
      milliseconds, last_milliseconds: how long a frame and the last frame stay; the format counts in steps of 10.
    Raises:
      UserError: the path cannot be written to as a GIF file.
      ValueError: no frames, frames of several sizes, or a time below 20 ms (which viewers replace by their own).
    """
    pictures = [_picture(image) for image in images]
    sizes = sorted({picture.size for picture in pictures})
    if len(sizes) != 1:
        raise ValueError(f"an animation needs one or more frames of one size; got {len(pictures)} of sizes {sizes}")
    if min(milliseconds, last_milliseconds) < 20:
        raise ValueError(f"milliseconds={milliseconds}, last_milliseconds={last_milliseconds}; expected 20 or more")
    # Each frame has its own 256 colours; a common palette shows as bands in skin.
    frames = [picture.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=1) for picture in pictures]
    durations = [milliseconds] * (len(frames) - 1) + [last_milliseconds]
    with replacing(path, ".gif") as temporary:
        frames[0].save(temporary, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise ImageError(f"{path}: a folder; expected an image file: name a file inside it")
    if not path.exists():
        raise ImageError(f"{path}: no such file; expected an image file: check the spelling and the folder")
    if not path.is_file():
        raise ImageError(f"{path}: not an ordinary file; expected an image file: save the image to disk first")
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: the file is empty (0 bytes); expected an image file: copy or download it again")


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width}x{height} = {width * height / 1e6:.1f} million pixels")
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{path}: the image is {width}x{height} pixels; "
            f"expected {MIN_SIDE}x{MIN_SIDE} or more: use a larger version"
        )


def _too_large(path: Path, size: str) -> ImageError:
    return ImageError(
        f"{path}: the image has {size}; expected at most {MAX_PIXELS / 1e6:.0f} million: "
        "reduce it, or crop it around the face"
    )


def _rgb(image: Image.Image) -> Image.Image:
    image.load()
    orientation = image.getexif().get(EXIF_ORIENTATION)
    if image.mode.startswith("I") or image.mode == "F":
        image = gray_8bit(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def gray_8bit(image: Image.Image) -> Image.Image:
    """A picture of one channel of 16 bits, or of floating-point values in [0, 1] or [0, 255], in 8 bits.

    Raises:
      ValueError: there are values outside of that.
    """
    values = np.array(image).astype(np.float32)
    low, high = values.min(), values.max()
    if image.mode == "F":
        full, known = (1, "[0, 1] or [0, 255]") if high <= 1 else (255, "[0, 1] or [0, 255]")
    else:
        full, known = 65535, "[0, 65535]"
    if not (low >= 0 and high <= full):  # so written, NaN is refused too
        raise ValueError(f"gray values from {low:g} to {high:g}, not within {known}")
    return Image.fromarray(np.rint(values * np.float32(255 / full)).astype(np.uint8))


def _check_rgb(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise ValueError(f"expected an RGB image [H, W, 3] of uint8, got {image.dtype} {list(image.shape)}")


def _picture(image: np.ndarray) -> Image.Image:
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = to_uint8(image)
    _check_rgb(image)
    return Image.fromarray(image)
