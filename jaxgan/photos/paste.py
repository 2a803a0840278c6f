"""Puts restored faces back into their photo: nothing but what was restored changes, and no seam is seen.

Holes are filled with the face's image plus the membrane of its difference to the photo around the hole (Poisson
cloning). Where the whole face is replaced, its low frequencies are the photo's, and it fades out towards the border of
the aligned square. Colours are added to the luminance of the photo.

References: Pérez, Gangnet, Blake, Poisson Image Editing, 2003; Burt, Adelson, A Multiresolution Spline With Application
to Image Mosaics, 1983 (low frequencies pass over wide zones, high ones over narrow).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt, UInt8
from PIL import Image
from scipy import ndimage

from jaxgan import membrane
from jaxgan.photos.alignment import Placement

FADE = 0.15  # of the aligned square's side: width of the zone where a replaced face fades out
MATCH = 1 / 16  # of the side: sigma of the low frequencies that a replaced face takes from the photo
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, that of JPEG and of Pillow's gray pictures
_STRIP_PIXELS = 1_000_000  # worked on at once, as float32


class RestoredFace(NamedTuple):
    """A face to put back."""

    image: UInt8[np.ndarray, "size size 3"]  # restored
    placement: Placement  # in the photo


def fill_holes(
    photo: UInt[np.ndarray, "H W 3"], hole: Bool[np.ndarray, "H W"], faces: Sequence[RestoredFace], *, gray: bool
) -> UInt[np.ndarray, "H W 3"]:
    """Replaces the pixels of a hole: in the faces by theirs, elsewhere smoothly by what is around.

    Args:
      photo: RGB of 8 or 16 bits.
      hole: what is missing.
      faces: may be none.
      gray: give the faces' pixels no colour; for a photo that has none.
    Returns:
      A copy; pixels outside the hole are equal bit for bit.
    Raises:
      ValueError: the hole covers the whole photo.
    """
    result, levels = photo.copy(), np.iinfo(photo.dtype).max
    for channel in range(3):
        known = photo[..., channel].astype(np.float32) / np.float32(levels)
        filled = membrane.fill(known, hole)
        del known
        for face in faces:
            rows, columns = _box(face.placement, photo.shape)
            inside = hole[rows, columns]
            if not inside.any() or inside.all():
                continue
            warped = _warped(_values(face, gray=gray)[..., channel], face.placement, rows, columns)
            detail = warped - membrane.fill(warped, inside)  # zero outside the hole
            filled[rows, columns] += _share(face, faces, rows, columns) * detail
        result[hole, channel] = np.clip(np.rint(filled[hole] * levels), 0, levels)
    return result


def replace_faces(
    photo: UInt[np.ndarray, "H W 3"], faces: Sequence[RestoredFace], *, gray: bool
) -> UInt[np.ndarray, "H W 3"]:
    """Replaces whole aligned squares, fading out towards their borders.

    Args:
      photo: RGB of 8 or 16 bits.
      faces: their low frequencies should be the photo's, see `with_low_frequencies_of`.
      gray: give the faces no colour; for a photo that has none.
    Returns:
      A copy; pixels outside the squares are equal bit for bit.
    """
    return _composed(photo, faces, lambda base, restored: restored, gray=gray)


def colour_faces(photo: UInt[np.ndarray, "H W 3"], faces: Sequence[RestoredFace]) -> UInt[np.ndarray, "H W 3"]:
    """Gives the faces' colours to the photo, which keeps its own luminance, and with it its sharpness.

    Args:
      photo: RGB of 8 or 16 bits, usually gray.
      faces: with colours.
    Returns:
      A copy; pixels outside the aligned squares are equal bit for bit.
    """
    return _composed(photo, faces, _coloured, gray=False)


def with_low_frequencies_of(
    observed: UInt8[np.ndarray, "size size 3"],
    restored: UInt8[np.ndarray, "size size 3"],
    known: Float32[np.ndarray, "size size"] | None = None,
) -> UInt8[np.ndarray, "size size 3"]:
    """Matches brightness and colours: the restored face with the observed one's low frequencies.

    Args:
      observed: the aligned square as the photo shows it, blurred maybe, but of the right colours.
      restored: the generator's image of it.
      known: 1 where something was observed; by default everywhere.
    """
    weight = np.ones(observed.shape[:2], np.float32) if known is None else known
    sigma = MATCH * len(observed)
    total = ndimage.gaussian_filter(weight, sigma, mode="nearest")
    result = restored.astype(np.float32)
    for channel in range(3):
        difference = (observed[..., channel].astype(np.float32) - result[..., channel]) * weight
        result[..., channel] += ndimage.gaussian_filter(difference, sigma, mode="nearest") / np.maximum(total, 1e-3)
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def hole_of_mask(
    mask: Float32[np.ndarray, "size size"], placement: Placement, photo_shape: tuple[int, ...]
) -> Bool[np.ndarray, "H W"]:
    """The pixels of the photo that a mask of the aligned square hides.

    Args:
      mask: 1 where pixels are kept, 0 where they are missing.
      placement: of the square.
      photo_shape: (height, width, ...).
    """
    rows, columns = _box(placement, photo_shape)
    hole = np.zeros(photo_shape[:2], bool)
    x, y = _position(placement, rows, columns)
    inside = (x > 0) & (x < 1) & (y > 0) & (y < 1)
    hole[rows, columns] = inside & (_warped(mask, placement, rows, columns) < 0.5)
    return hole


def _composed(photo, faces: Sequence[RestoredFace], change: Callable, *, gray: bool) -> np.ndarray:
    """Blends, strip by strip, `change(photo, face)` of each face into the photo."""
    result, levels = photo.copy(), np.iinfo(photo.dtype).max
    for face in faces:
        rows, columns = _box(face.placement, photo.shape)
        values = _values(face, gray=gray)
        height = max(1, _STRIP_PIXELS // max(columns.stop - columns.start, 1))
        for top in range(rows.start, rows.stop, height):
            strip = slice(top, min(top + height, rows.stop))
            share = _share(face, faces, strip, columns)[..., None]
            touched = share[..., 0] > 0
            base = photo[strip, columns].astype(np.float32) / np.float32(levels)
            warped = [_warped(values[..., channel], face.placement, strip, columns) for channel in range(3)]
            change_here = share * (change(base, np.stack(warped, axis=-1)) - base)
            part = result[strip, columns]  # a face pasted before may have changed it
            blended = part + change_here * np.float32(levels)
            part[touched] = np.clip(np.rint(blended[touched]), 0, levels)
    return result


def _coloured(base: Float32[np.ndarray, "h w 3"], restored: Float32[np.ndarray, "h w 3"]) -> np.ndarray:
    """The luminance of one and the chroma of the other, with less of it where a channel would leave [0, 1]."""
    luma = (base @ LUMA)[..., None]
    chroma = restored - (restored @ LUMA)[..., None]
    # The largest t with 0 <= luma + t chroma <= 1 in all channels.
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.where(chroma > 0, (1 - luma) / chroma, np.where(chroma < 0, -luma / chroma, np.inf))
    return luma + np.minimum(limit.min(axis=-1, keepdims=True), 1) * chroma


def _values(face: RestoredFace, *, gray: bool) -> Float32[np.ndarray, "size size 3"]:
    """The face in [0, 1], at least as coarse as the photo: reduced where a photo pixel would skip some of its own."""
    image = face.image
    factor = face.placement.pixels_per_pixel
    if factor < 1:
        side = max(1, math.ceil(len(image) * factor))
        image = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))
    values = image.astype(np.float32) / np.float32(255)
    return np.repeat((values @ LUMA)[..., None], 3, axis=-1) if gray else values


def _box(placement: Placement, photo_shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the photo that the aligned square reaches."""
    left, top = np.floor(placement.corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(placement.corners.max(axis=0)).astype(int)
    height, width = photo_shape[:2]
    return slice(max(0, min(top, height)), max(0, min(bottom, height))), slice(
        max(0, min(left, width)), max(0, min(right, width))
    )


def _position(placement: Placement, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    """Where the photo's pixel centres lie in the aligned square, whose sides run from 0 to 1: [h, w] each."""
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5)
    a, b = (placement.to_aligned / placement.size).astype(np.float32)
    return a[0] * x + a[1] * y + a[2], b[0] * x + b[1] * y + b[2]


def _warped(
    values: Float32[np.ndarray, "side side"], placement: Placement, rows: slice, columns: slice
) -> Float32[np.ndarray, "h w"]:
    """An image of the aligned square at the photo's pixels (bicubic); beyond the square its border goes on."""
    side = len(values)
    margin = side // 2 + 2  # the box around a square turned by 45 degrees reaches 0.21 of its side beyond
    padded = Image.fromarray(np.pad(values, margin, mode="edge"))
    x_row, y_row = placement.to_aligned * (side / placement.size)
    offset = np.array([columns.start, rows.start])
    coefficients = [
        coefficient for row in (x_row, y_row) for coefficient in (row[0], row[1], row[2] + row[:2] @ offset + margin)
    ]
    size = (columns.stop - columns.start, rows.stop - rows.start)
    return np.asarray(padded.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC))


def _fade(placement: Placement, rows: slice, columns: slice) -> Float32[np.ndarray, "h w"]:
    """1 inside the aligned square, 0 from its border on, smooth between."""
    x, y = _position(placement, rows, columns)
    weight = np.float32(1)
    for position in (x, y):
        t = np.clip(np.minimum(position, 1 - position) / np.float32(FADE), 0, 1)
        weight = weight * t * t * (3 - 2 * t)
    return weight


def _share(face: RestoredFace, faces: Sequence[RestoredFace], rows: slice, columns: slice) -> np.ndarray:
    """A face's weight [h, w]; in a pixel of several squares the deeper one has most of it, and all at most 1."""
    own = _fade(face.placement, rows, columns)
    total = own
    for other in faces:
        if other is not face:
            total = total + _fade(other.placement, rows, columns)
    return own * own / np.maximum(total, np.float32(1e-12))
