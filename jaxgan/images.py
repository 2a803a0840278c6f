"""Converts images between arrays of different kinds, and writes arrays as pictures and animations."""

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from jaxgan.files import replacing

OVERSHOOT = 30.0
"""The largest magnitude of a value that can belong to [-1, 1]; images of a generator leave that range a little."""


def check_image(image: Any, name: str) -> None:
    """Refuses values that are not floating-point numbers in [-1, 1], such as those of a picture file.

    Inside a transformation of JAX the values are not known, so there only the type is checked.

    Args:
      image: an array of any shape.
      name: the name of the argument, for the message.
    Raises:
      TypeError: the values are integers or booleans, or `image` is no array.
      ValueError: values are not finite, or far outside of [-1, 1].
    """
    dtype = getattr(image, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        kind = type(image).__name__ if dtype is None else f"an array of {dtype}"
        raise TypeError(
            f"{name} is {kind}; expected an array of floating-point values in [-1, 1]: "
            "jaxgan.images.to_float converts uint8 values"
        )
    if isinstance(image, jax.core.Tracer):
        return
    low, high = float(image.min()), float(image.max())
    if not (low >= -OVERSHOOT and high <= OVERSHOOT):  # so written, NaN is refused too
        raise ValueError(
            f"{name} has values from {low:g} to {high:g}; expected values in [-1, 1]: "
            "for those in [0, 255] use image / 127.5 - 1"
        )


def to_float(image: UInt8[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Converts uint8 [0, 255] to float32 [-1, 1].

    Raises:
      TypeError: the array is not uint8.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8:
        raise TypeError(f"to_float takes uint8 values in [0, 255], not {image.dtype}")
    return image.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8(image: Float[jax.Array | np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
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

    Where both sides are multiples of `size`, each pixel is the mean of a whole block; otherwise the filter is Lanczos.

    Raises:
      ValueError: the image is not uint8 RGB, or `size` is below 1.
    """
    _check_rgb(image)
    if size < 1:
        raise ValueError(f"size is {size}; expected a number of pixels, 1 or more")
    height, width = image.shape[:2]
    picture = Image.fromarray(image)
    if height % size == 0 and width % size == 0:
        # This rounds once, while Resampling.BOX rounds after each axis.
        return np.array(picture.reduce((width // size, height // size)))
    return np.array(picture.resize((size, size), Image.Resampling.LANCZOS))


def write_png(
    path: str | os.PathLike[str],
    image: UInt8[np.ndarray, "H W 3"] | Float[jax.Array | np.ndarray, "H W 3"],
    *,
    alpha: Float[jax.Array | np.ndarray, "H W"] | None = None,
) -> None:
    """Writes a PNG file, whole or not at all: an existing file is replaced only once the new one is complete.

    Args:
      path: a path that ends in .png, in a folder that exists.
      image: RGB, as uint8 or as floating-point values in [-1, 1].
      alpha: a fourth channel, from -1 (transparent) to 1; None writes none.
    Raises:
      UserError: the path cannot be written to as a PNG file.
      ValueError: the image is not RGB, or has NaN values.
    """
    picture = _picture(image)
    if alpha is not None:
        picture.putalpha(Image.fromarray(to_uint8(alpha)))
    with replacing(path, ".png") as temporary:
        picture.save(temporary, format="PNG")


def write_gif(
    path: str | os.PathLike[str],
    images: Sequence[UInt8[np.ndarray, "H W 3"] | Float[jax.Array | np.ndarray, "H W 3"]],
    *,
    milliseconds: int = 100,
    last_milliseconds: int = 1500,
) -> None:
    """Writes an animation that loops for ever and rests on its last frame; the file is written whole or not at all.

    Args:
      path: a path that ends in .gif, in a folder that exists.
      images: one or more frames of one size, RGB, as uint8 or as floating-point values in [-1, 1].
      milliseconds, last_milliseconds: the time that a frame and the last frame stay, 20 or more in steps of 10.
    Raises:
      UserError: the path cannot be written to as a GIF file.
      ValueError: there are no frames, their sizes differ, or a time is below 20 ms, which viewers replace by their own.
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


def _check_rgb(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise ValueError(f"expected an RGB image [H, W, 3] of uint8, got {image.dtype} {list(image.shape)}")


def _picture(image: jax.Array | np.ndarray) -> Image.Image:
    image = np.asarray(image)
    if image.dtype != np.uint8:
        image = to_uint8(image)
    _check_rgb(image)
    return Image.fromarray(image)
