"""Puts restored faces back into their photo; only restored pixels change, and no seam is seen.

A hole is filled with X, the faces' images that fade out towards the borders of their aligned squares, plus the residual
photo - X continued into the hole from around it, as a spline in tension: where there is no face, X is zero and the
photo itself goes on. A face that is replaced as a whole fades out likewise. A face that is coloured keeps the photo's
luminance, the mean of R, G and B. In a photo without colours of its own, each new pixel takes the photo's tone.

References: Burt, Adelson, A Multiresolution Spline With Application to Image Mosaics, 1983 (low frequencies pass over
wide zones, and high frequencies over narrow ones).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt, UInt8
from PIL import Image
from scipy import ndimage

from jaxgan import jpeg_intervals, membrane, tension
from jaxgan.degradations import JPEG
from jaxgan.photos import tone as tones
from jaxgan.photos.alignment import Placement
from jaxgan.photos.tone import Tone
from jaxgan.restoration import with_luminance

FADE = 0.15
"""Width of the zone where a replaced face fades out, as a share of the aligned square's side."""

MATCH = 1 / 16
"""Sigma of the low frequencies that a replaced face takes from the photo, as a share of the side."""

_BLOCK = 4  # holes that lie so many pixels apart do not influence each other (see `tension.fill`)
_STRIP_PIXELS = 1_000_000  # so many pixels are worked on at once, as float32


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
    """Replaces the pixels of a hole by those of the faces, and continues the photo smoothly where there is no face.

    Args:
      photo: RGB of 8 or 16 bits.
      hole: True where a pixel is missing.
      faces: the restored faces; there may be none.
      tone: the colours of a photo that has none of its own (see `tone.find_tone`); None for a photo with colours.
    Returns:
      A copy; pixels outside the hole are equal bit for bit.
    Raises:
      ValueError: the hole covers the whole photo.
    """
    result, left = photo.copy(), hole.copy()
    for part, side in _solvable(hole, faces):
        inside, around, extend = tension.extension(part, tension.LENGTH * side)
        x_inside, x_around = (_faces_at(pixels, faces, hole.shape) for pixels in (inside, around))
        known = _levels(photo.reshape(-1, 3)[around])
        if tone is not None:
            x_inside, x_around, known = (values.mean(-1, keepdims=True) for values in (x_inside, x_around, known))
        _put(result, part, x_inside + extend(known - x_around), tone)
        left &= ~part
    if not left.any():
        return result
    if tone is not None:
        filled = _membrane(_levels(photo).mean(-1), left, faces, lambda values: values.mean(axis=-1))
        _put(result, left, filled[left][:, None], tone)
        return result
    for channel in range(3):
        filled = _membrane(_levels(photo[..., channel]), left, faces, itemgetter((..., channel)))
        _put(result[..., channel, None], left, filled[left][:, None], None)
    return result


def _levels(values: np.ndarray) -> np.ndarray:
    """The values of a photo in [0, 1]."""
    return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)


def _put(result: np.ndarray, hole: np.ndarray, values: np.ndarray, tone: Tone | None) -> None:
    """Writes values [n, C] in [0, 1] into the hole, or the colours of a tone for their luminance."""
    if tone is not None:
        values = tones.apply(tone, values[..., 0].astype(np.float32))
    levels = np.iinfo(result.dtype).max
    result[hole] = np.clip(np.rint(values * levels), 0, levels)


def _solvable(hole: np.ndarray, faces: Sequence[RestoredFace]) -> Iterator[tuple[np.ndarray, float]]:
    """Chooses the parts of a hole for which the spline's equations are solved, those near faces first.

    Yields:
      A part for each face, the one that is nearest to it, and the side of the face's square in photo pixels. Without a
      face there is one part, with half the photo's shorter side. Holes beyond `tension.LARGEST_SOLVE` are left out.
    """
    height, width = (-(-side // _BLOCK) for side in hole.shape)
    padded = np.pad(hole, [(0, _BLOCK * count - side) for count, side in zip((height, width), hole.shape, strict=True)])
    counts = padded.reshape(height, _BLOCK, width, _BLOCK).sum(axis=(1, 3), dtype=np.int32)
    regions, number = ndimage.label(counts, np.ones((3, 3)))  # a whole block lies between the holes of two regions
    index = np.arange(1, number + 1)
    sizes = ndimage.sum_labels(counts, regions, index)
    centres = _BLOCK * (np.array(ndimage.center_of_mass(counts, regions, index)).reshape(-1, 2) + 0.5)
    if faces:
        sides = np.array([face.placement.size * face.placement.pixels_per_pixel for face in faces])
        middles = np.stack([face.placement.corners.mean(axis=0)[::-1] for face in faces])
        distances = np.linalg.norm(centres[:, None] - middles, axis=-1) / sides  # [regions, faces]
    else:
        sides, distances = np.array([min(hole.shape) / 2]), np.zeros((number, 1))
    near_first = np.argsort(distances.min(axis=1), kind="stable")
    near_first = near_first[sizes[near_first] <= tension.LARGEST_SOLVE]
    solved = near_first[np.cumsum(sizes[near_first]) <= tension.LARGEST_SOLVE]
    for face, side in enumerate(sides):
        chosen = np.zeros(number + 1, bool)
        chosen[1 + solved[distances[solved].argmin(axis=1) == face]] = True
        if chosen.any():
            blocks = np.repeat(np.repeat(chosen[regions], _BLOCK, axis=0), _BLOCK, axis=1)
            yield hole & blocks[: hole.shape[0], : hole.shape[1]], float(side)


def _faces_at(pixels: np.ndarray, faces: Sequence[RestoredFace], shape: tuple[int, int]) -> np.ndarray:
    """Sums all faces, each times its share, at some pixels of the photo: [n, 3] in [0, 1]."""
    y, x = np.array(np.divmod(pixels, shape[1])) + 0.5
    total = np.zeros((len(pixels), 3))
    for face, share in zip(faces, _shares([_fade_at(face.placement, x, y) for face in faces]), strict=True):
        inside = share > 0
        values = _values(face)
        u, v = face.placement.to_aligned @ np.stack([x[inside], y[inside], np.ones(inside.sum())])
        places = np.stack([v, u]) * (len(values) / face.placement.size) - 0.5
        for channel in range(3):
            sampled = ndimage.map_coordinates(values[..., channel], places, order=3, mode="nearest")
            total[inside, channel] += share[inside] * sampled
    return total


def _membrane(
    known: Float32[np.ndarray, "H W"],
    hole: Bool[np.ndarray, "H W"],
    faces: Sequence[RestoredFace],
    part: Callable[[np.ndarray], np.ndarray],
) -> Float32[np.ndarray, "H W"]:
    """Fills the hole of one channel of the photo, for which `part` takes the values [size, size] of a face."""
    shown = []
    for face in faces:
        box = _box(face.placement, known.shape)
        if hole[box].any():
            shown.append((box, _share(face, faces, *box) * _warped(part(_values(face)), face.placement, *box)))
            known[box] -= shown[-1][1]
    filled = membrane.fill(known, hole)
    for box, values in shown:
        filled[box] += values
    return filled


def replace_faces(
    photo: UInt[np.ndarray, "H W 3"], faces: Sequence[RestoredFace], *, tone: Tone | None
) -> UInt[np.ndarray, "H W 3"]:
    """Replaces whole aligned squares, which fade out towards their borders.

    Args:
      photo: RGB of 8 or 16 bits.
      faces: the restored faces, with the photo's low frequencies (see `with_low_frequencies_of`).
      tone: see `fill_holes`.
    Returns:
      A copy; pixels outside the squares are equal bit for bit.
    """
    return _composed(photo, faces, lambda base, restored: restored, tone)


def replace_coded_faces(
    photo: UInt8[np.ndarray, "H W 3"], faces: Sequence[RestoredFace], jpeg: JPEG
) -> UInt8[np.ndarray, "H W 3"]:
    """Replaces aligned squares by what a JPEG file leaves open: each coefficient stays in the file's own interval.

    Args:
      photo: decoded from the file.
      faces: the generator's images.
      jpeg: the compression of the file.
    Returns:
      A copy; pixels outside the squares are equal bit for bit.
    """
    result = photo.copy()
    for face in faces:
        units = (8 * pixels for pixels in jpeg.subsampling)
        box = tuple(
            slice(part.start // unit * unit, min(-(-part.stop // unit) * unit, side))
            for part, unit, side in zip(_box(face.placement, photo.shape), units, photo.shape[:2], strict=True)
        )
        values = _values(face)
        warped = np.stack([_warped(values[..., channel], face.placement, *box) for channel in range(3)], axis=-1)
        base = photo[box].astype(np.float64) / 255
        completed = (jpeg_intervals.complete(jpeg, 2 * base - 1, 2 * warped - 1) + 1) / 2
        share = _share(face, faces, *box)[..., None]
        part = result[box]
        blended = part / 255 + share * (completed - base)
        part[...] = np.where(share > 0, np.clip(np.rint(255 * blended), 0, 255), part)
    return result


def colour_faces(photo: UInt[np.ndarray, "H W 3"], faces: Sequence[RestoredFace]) -> UInt[np.ndarray, "H W 3"]:
    """Gives the faces' colours to the photo, which keeps its own luminance, and with that its sharpness.

    Args:
      photo: RGB of 8 or 16 bits, usually gray.
      faces: the restored faces, which have colours.
    Returns:
      A copy; pixels outside the aligned squares are equal bit for bit.
    """
    return _composed(photo, faces, _coloured, None)


def with_low_frequencies_of(
    observed: UInt8[np.ndarray, "size size 3"], restored: UInt8[np.ndarray, "size size 3"]
) -> UInt8[np.ndarray, "size size 3"]:
    """Gives a face the brightness and colours of the photo, by exchanging its low frequencies.

    Args:
      observed: the aligned square as the photo shows it.
      restored: the generator's image of that square.
    Returns:
      The restored face with the observed low frequencies.
    """
    difference, sigma = observed.astype(np.float32) - restored, MATCH * len(observed)
    result = restored + ndimage.gaussian_filter(difference, (sigma, sigma, 0), mode="nearest")
    return np.clip(np.rint(result), 0, 255).astype(np.uint8)


def lay_maps(
    maps: Sequence[Float32[np.ndarray, "size size"]], placements: Sequence[Placement], photo_shape: tuple[int, ...]
) -> tuple[Float32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """Lays numbers of the aligned squares' pixels, such as their spread, where the faces lie in the photo.

    Args:
      maps: non-negative numbers for the pixels of each square.
      placements: the places of the squares in the photo.
      photo_shape: (height, width, ...) in pixels.
    Returns:
      The numbers times the share of each face, which fades out towards the border of its square, and summed over the
      faces; and the sum of the shares.
    """
    total, weight = np.zeros(photo_shape[:2], np.float32), np.zeros(photo_shape[:2], np.float32)
    for index, (values, placement) in enumerate(zip(maps, placements, strict=True)):
        box = _box(placement, photo_shape)
        others = [other for place, other in enumerate(placements) if place != index]
        share = _shares([_fade(each, *box) for each in (placement, *others)])[0]
        total[box] += share * np.maximum(_warped(_reduced(values, placement), placement, *box), 0)
        weight[box] += share
    return total, weight


def hole_of_mask(
    mask: Float32[np.ndarray, "size size"], placement: Placement, photo_shape: tuple[int, ...]
) -> Bool[np.ndarray, "H W"]:
    """Marks the pixels of the photo that a mask of the aligned square hides.

    Args:
      mask: 1 where pixels are kept, 0 where they are missing.
      placement: the place of the square in the photo.
      photo_shape: (height, width, ...) in pixels.
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
    """Adds the chroma of one to the luminance of the other, both in [0, 1]."""
    return (with_luminance(2 * base - 1, 2 * restored - 1) + 1) / 2


def _values(face: RestoredFace) -> Float32[np.ndarray, "size size 3"]:
    """Returns the face in [0, 1], reduced to the photo's size where a photo pixel would skip some of the face's own."""
    return _reduced(face.image, face.placement).astype(np.float32) / np.float32(255)


def _reduced(image: np.ndarray, placement: Placement) -> np.ndarray:
    if placement.pixels_per_pixel >= 1:
        return image
    side = max(1, math.ceil(len(image) * placement.pixels_per_pixel))
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))


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
    margin = side // 2 + 2  # the box around a square turned by 45 degrees reaches beyond it by 0.21 of its side
    padded = Image.fromarray(np.pad(values, margin, mode="edge"))
    x_row, y_row = placement.to_aligned * (side / placement.size)
    offset = np.array([columns.start, rows.start])
    coefficients = [
        coefficient for row in (x_row, y_row) for coefficient in (row[0], row[1], row[2] + row[:2] @ offset + margin)
    ]
    size = (columns.stop - columns.start, rows.stop - rows.start)
    return np.asarray(padded.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC))


def _fade(placement: Placement, rows: slice, columns: slice) -> Float32[np.ndarray, "h w"]:
    """Returns the weights of the photo's pixels in a box, see `_fade_of`."""
    return _fade_of(*_position(placement, rows, columns))


def _fade_at(placement: Placement, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the weights of places in the photo, see `_fade_of`."""
    return _fade_of(*(placement.to_aligned / placement.size @ np.stack([x, y, np.ones_like(x)])))


def _fade_of(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Returns weights that fall smoothly from 1 inside the aligned square to 0 at its border and beyond.

    Args:
      u, v: positions in the square, whose sides run from 0 to 1; those outside have weight 0.
    """
    weight: np.ndarray = np.ones((), np.float32)
    for position in (u, v):
        t = np.clip(np.minimum(position, 1 - position) / np.float32(FADE), 0, 1)
        weight = weight * t * t * (3 - 2 * t)
    return weight


def _share(face: RestoredFace, faces: Sequence[RestoredFace], rows: slice, columns: slice) -> np.ndarray:
    """Weights a face against the others in a box, see `_shares`."""
    others = [other for other in faces if other is not face]
    return _shares([_fade(each.placement, rows, columns) for each in (face, *others)])[0]


def _shares(fades: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Weights faces against each other, so that the face in whose square a pixel lies deepest has most of it."""
    total = np.maximum(sum(fades), np.float32(1e-12))
    return [fade * fade / total for fade in fades]
