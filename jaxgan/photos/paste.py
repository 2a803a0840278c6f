"""Puts restored faces back into their photo: nothing but what was restored changes, and no seam is seen.

A hole is filled with the face's image plus the membrane of that image's difference to the photo around the hole
(Poisson cloning). A face that is replaced as a whole takes its low frequencies from the photo and fades out towards the
border of the aligned square. A face that is coloured keeps the photo's luminance, the mean of R, G and B. In a photo
without colours of its own, each new pixel takes the photo's tone.

References: Pérez, Gangnet, Blake, Poisson Image Editing, 2003; Burt, Adelson, A Multiresolution Spline With Application
to Image Mosaics, 1983 (low frequencies pass over wide zones, high ones over narrow).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt, UInt8
from PIL import Image
from scipy import ndimage

from jaxgan import membrane
from jaxgan.photos import tone as tones
from jaxgan.photos.alignment import Placement
from jaxgan.photos.tone import Tone

FADE = 0.15
"""Width of the zone where a replaced face fades out, as a share of the aligned square's side."""

MATCH = 1 / 16
"""Sigma of the low frequencies that a replaced face takes from the photo, as a share of the side."""

_STRIP_PIXELS = 1_000_000  # that many are worked on at once, as float32


class RestoredFace(NamedTuple):
    """A face to put back."""

    image: UInt8[np.ndarray, "size size 3"]  # the restored face, as an aligned square
    placement: Placement  # says where in the photo that square lies


def fill_holes(
    photo: UInt[np.ndarray, "H W 3"],
    hole: Bool[np.ndarray, "H W"],
    faces: Sequence[RestoredFace],
    *,
    tone: Tone | None,
) -> UInt[np.ndarray, "H W 3"]:
    """Replaces the pixels of a hole: with those of the faces where there are any, else smoothly by what is around.

    Args:
      photo: RGB of 8 or 16 bits.
      hole: True where a pixel is missing.
      faces: may be none.
      tone: the colours of a photo that has none of its own (see `tone.find_tone`); None for a photo with colours.
    Returns:
      A copy; pixels outside the hole are equal bit for bit.
    Raises:
      ValueError: the hole covers the whole photo.
    """
    result, levels = photo.copy(), np.iinfo(photo.dtype).max
    if not hole.any():
        return result
    if tone is not None:
        luminance = photo.mean(axis=-1, dtype=np.float32) / np.float32(levels)
        filled = _filled(luminance, hole, faces, lambda values: values.mean(axis=-1))
        result[hole] = np.rint(tones.apply(tone, filled[hole]) * levels)
        return result
    for channel in range(3):
        known = photo[..., channel].astype(np.float32) / np.float32(levels)
        filled = _filled(known, hole, faces, itemgetter((..., channel)))
        result[hole, channel] = np.clip(np.rint(filled[hole] * levels), 0, levels)
    return result


def _filled(
    known: Float32[np.ndarray, "H W"],
    hole: Bool[np.ndarray, "H W"],
    faces: Sequence[RestoredFace],
    part: Callable[[np.ndarray], np.ndarray],
) -> Float32[np.ndarray, "H W"]:
    """Fills the hole of one channel of the photo, for which `part` takes the values [size, size] of a face."""
    filled = membrane.fill(known, hole)
    for face in faces:
        rows, columns = _box(face.placement, known.shape)
        inside = hole[rows, columns]
        if not inside.any() or inside.all():
            continue
        warped = _warped(part(_values(face)), face.placement, rows, columns)
        detail = warped - membrane.fill(warped, inside)  # zero outside the hole
        filled[rows, columns] += _share(face, faces, rows, columns) * detail
    return filled


def replace_faces(
    photo: UInt[np.ndarray, "H W 3"], faces: Sequence[RestoredFace], *, tone: Tone | None
) -> UInt[np.ndarray, "H W 3"]:
    """Replaces whole aligned squares, which fade out towards their borders.

    Args:
      photo: RGB of 8 or 16 bits.
      faces: their low frequencies should be the photo's, see `with_low_frequencies_of`.
      tone: as for `fill_holes`.
    Returns:
      A copy; pixels outside the squares are equal bit for bit.
    """
    return _composed(photo, faces, lambda base, restored: restored, tone)


def colour_faces(photo: UInt[np.ndarray, "H W 3"], faces: Sequence[RestoredFace]) -> UInt[np.ndarray, "H W 3"]:
    """Gives the faces' colours to the photo, which keeps its own luminance, and with that its sharpness.

    Args:
      photo: RGB of 8 or 16 bits, usually gray.
      faces: have colours.
    Returns:
      A copy; pixels outside the aligned squares are equal bit for bit.
    """
    return _composed(photo, faces, _coloured, None)


def with_low_frequencies_of(
    observed: UInt8[np.ndarray, "size size 3"],
    restored: UInt8[np.ndarray, "size size 3"],
    known: Float32[np.ndarray, "size size"] | None = None,
) -> UInt8[np.ndarray, "size size 3"]:
    """Gives a restored face the brightness and colours of the photo, by exchanging its low frequencies.

    Args:
      observed: the aligned square as the photo shows it; it may be blurred, but has the right colours.
      restored: the generator's image of that square.
      known: 1 where something was observed, else 0; None if everything was.
    Returns:
      The restored face with the observed low frequencies.
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
    """Marks the pixels of the photo that a mask of the aligned square hides.

    Args:
      mask: 1 where pixels are kept, 0 where they are missing.
      placement: where in the photo the square lies.
      photo_shape: (height, width, ...).
    """
    rows, columns = _box(placement, photo_shape)
    hole = np.zeros(photo_shape[:2], bool)
    x, y = _position(placement, rows, columns)
    inside = (x > 0) & (x < 1) & (y > 0) & (y < 1)
    hole[rows, columns] = inside & (_warped(mask, placement, rows, columns) < 0.5)
    return hole


def _composed(photo: np.ndarray, faces: Sequence[RestoredFace], change: Callable, tone: Tone | None) -> np.ndarray:
    """Blends `change(photo, face)` of each face into the photo, strip by strip."""
    result, levels = photo.copy(), np.iinfo(photo.dtype).max
    for face in faces:
        rows, columns = _box(face.placement, photo.shape)
        values = _values(face)
        height = max(1, _STRIP_PIXELS // max(columns.stop - columns.start, 1))
        for top in range(rows.start, rows.stop, height):
            strip = slice(top, min(top + height, rows.stop))
            share = _share(face, faces, strip, columns)[..., None]
            touched = share[..., 0] > 0
            base = photo[strip, columns].astype(np.float32) / np.float32(levels)
            warped = [_warped(values[..., channel], face.placement, strip, columns) for channel in range(3)]
            change_here = share * (change(base, np.stack(warped, axis=-1)) - base)
            part = result[strip, columns]  # a face pasted before may have changed it
            blended = part[touched] / np.float32(levels) + change_here[touched]
            if tone is not None:
                blended = tones.apply(tone, blended.mean(axis=-1))
            part[touched] = np.clip(np.rint(blended * np.float32(levels)), 0, levels)
    return result


def _coloured(base: Float32[np.ndarray, "h w 3"], restored: Float32[np.ndarray, "h w 3"]) -> np.ndarray:
    """Adds the chroma of one to the luminance of the other; less of it where a channel would leave [0, 1]."""
    luminance = base.mean(axis=-1, keepdims=True)
    chroma = restored - restored.mean(axis=-1, keepdims=True)
    # The largest t with 0 <= luminance + t chroma <= 1 in all channels.
    with np.errstate(divide="ignore", invalid="ignore"):
        limit = np.where(chroma > 0, (1 - luminance) / chroma, np.where(chroma < 0, -luminance / chroma, np.inf))
    return luminance + np.minimum(limit.min(axis=-1, keepdims=True), 1) * chroma


def _values(face: RestoredFace) -> Float32[np.ndarray, "size size 3"]:
    """Returns the face in [0, 1], reduced to the photo's size where a photo pixel would skip some of the face's own."""
    image = face.image
    factor = face.placement.pixels_per_pixel
    if factor < 1:
        side = max(1, math.ceil(len(image) * factor))
        image = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))
    return image.astype(np.float32) / np.float32(255)


def _box(placement: Placement, photo_shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Returns the rows and columns of the photo that the aligned square reaches."""
    left, top = np.floor(placement.corners.min(axis=0)).astype(int)
    right, bottom = np.ceil(placement.corners.max(axis=0)).astype(int)
    height, width = photo_shape[:2]
    return slice(max(0, min(top, height)), max(0, min(bottom, height))), slice(
        max(0, min(left, width)), max(0, min(right, width))
    )


def _position(placement: Placement, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
    """Places the photo's pixel centres in the aligned square, whose sides run from 0 to 1: x and y, [h, w] each."""
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5)
    a, b = (placement.to_aligned / placement.size).astype(np.float32)
    return a[0] * x + a[1] * y + a[2], b[0] * x + b[1] * y + b[2]


def _warped(
    values: Float32[np.ndarray, "side side"], placement: Placement, rows: slice, columns: slice
) -> Float32[np.ndarray, "h w"]:
    """Samples an image of the aligned square at the photo's pixels (bicubic); its border goes on beyond the square."""
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
    """Returns weights that fall smoothly from 1 inside the aligned square to 0 at its border and beyond."""
    x, y = _position(placement, rows, columns)
    weight: np.ndarray = np.ones((), np.float32)
    for position in (x, y):
        t = np.clip(np.minimum(position, 1 - position) / np.float32(FADE), 0, 1)
        weight = weight * t * t * (3 - 2 * t)
    return weight


def _share(face: RestoredFace, faces: Sequence[RestoredFace], rows: slice, columns: slice) -> np.ndarray:
    """Weights a face against the others: a pixel of several squares is mostly of the one it lies deepest in."""
    own = _fade(face.placement, rows, columns)
    total = own
    for other in faces:
        if other is not face:
            total = total + _fade(other.placement, rows, columns)
    return own * own / np.maximum(total, np.float32(1e-12))
