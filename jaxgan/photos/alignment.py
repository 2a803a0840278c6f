"""Cuts out the square around a face that FFHQ has, and so the networks that were trained on it.

References: Karras, Laine, Aila, A Style-Based Generator Architecture for Generative Adversarial Networks, 2019,
appendix A (arXiv 1812.04948). The numbers that the paper leaves open are those that reproduce
tests/reference/align_reference.npz.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8
from PIL import Image
from scipy import ndimage

MOUTH_BELOW_EYES = 1.09
"""Distance from the eyes to the mouth over that from eye to eye, in an average face that looks into the camera."""


class FacePoints(NamedTuple):
    """The points of a face that the alignment uses, (x, y) in pixels of the photo, counted from pixel centres."""

    eye_left: Float64[np.ndarray, "2"]  # the eye on the left of an upright picture
    eye_right: Float64[np.ndarray, "2"]
    mouth: Float64[np.ndarray, "2"]


class AlignmentQuad(NamedTuple):
    """The square to cut out of a photo, turned with the face; positions are (x, y) in pixels of the photo."""

    c: Float64[np.ndarray, "2"]  # centre
    x: Float64[np.ndarray, "2"]  # half a side, from the centre to the right
    y: Float64[np.ndarray, "2"]  # half a side, from the centre downwards
    quad: Float64[np.ndarray, "4 2"]  # corners c-x-y, c-x+y, c+x+y, c+x-y
    qsize: float  # side, 2 |x|


class AlignmentPlan(NamedTuple):
    """The steps that `align` takes before it samples, in their order; boxes are (left, top, right, bottom)."""

    shrink: int  # the photo is reduced if this is above 1
    shrunk_size: tuple[int, int]  # (width, height)
    quad_after_shrink: Float64[np.ndarray, "4 2"]
    qsize_after_shrink: float
    border: int  # pixels that are kept around the quad
    crop: tuple[int, int, int, int]  # the part of the reduced photo that is kept
    quad_after_crop: Float64[np.ndarray, "4 2"]
    pad_initial: tuple[int, int, int, int]  # pixels by which quad and border reach out of the crop
    pad: tuple[int, int, int, int]  # pixels to add on each side; zeros where nothing is padded
    quad_final: Float64[np.ndarray, "4 2"]  # the corners in the cropped and padded photo


class Placement(NamedTuple):
    """The place in the photo that an aligned image was cut out of, which is needed to put it back.

    Positions count from the corner of the top left pixel, whose centre is (0.5, 0.5), in photo and aligned image alike.
    """

    to_photo: Float64[np.ndarray, "2 3"]  # photo = to_photo @ (u, v, 1) for (u, v) in the aligned image
    size: int  # side of the aligned image

    @property
    def to_aligned(self) -> Float64[np.ndarray, "2 3"]:
        """The affine map from the photo to the aligned image, `[2, 3]`."""
        inverse = np.linalg.inv(self.to_photo[:, :2])
        return np.column_stack([inverse, -inverse @ self.to_photo[:, 2]])

    @property
    def corners(self) -> Float64[np.ndarray, "4 2"]:
        """The square's corners in the photo, in the order top left, bottom left, bottom right, top right."""
        square = np.array([[0, 0], [0, self.size], [self.size, self.size], [self.size, 0]])
        return square @ self.to_photo[:, :2].T + self.to_photo[:, 2]

    @property
    def pixels_per_pixel(self) -> float:
        """The number of photo pixels along the side of one pixel of the aligned image."""
        return float(math.sqrt(abs(np.linalg.det(self.to_photo[:, :2]))))


def face_points(landmarks: Float[np.ndarray, "68 2"]) -> FacePoints:
    """Takes the eyes and the mouth from the landmarks of a face.

    Args:
      landmarks: (x, y) in pixels, in dlib's numbering.
    Raises:
      ValueError: the landmarks have another shape, or are not finite.
    """
    landmarks = np.asarray(landmarks, dtype=np.float64)
    if landmarks.shape != (68, 2):
        raise ValueError(f"landmarks have shape {landmarks.shape}; expected (68, 2): x and y of dlib's 68 points")
    if not np.isfinite(landmarks).all():
        bad = np.flatnonzero(~np.isfinite(landmarks).all(axis=1)).tolist()
        raise ValueError(f"landmarks {bad} are not finite; expected pixel coordinates: find the face again")
    return FacePoints(landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0), (landmarks[48] + landmarks[54]) / 2)


def points_from_eyes(eye_left: Float64[np.ndarray, "2"], eye_right: Float64[np.ndarray, "2"]) -> FacePoints:
    """Puts the mouth where an average face that looks into the camera has it.

    Args:
      eye_left, eye_right: the centres of the eyes, (x, y) in pixels of the photo; the left eye is the one on the left
        of an upright picture.
    """
    across = eye_right - eye_left
    down = across[::-1] * [-1, 1]
    return FacePoints(eye_left, eye_right, (eye_left + eye_right) / 2 + MOUTH_BELOW_EYES * down)


def alignment_quad(landmarks: Float[np.ndarray, "68 2"], *, scale: float = 1.0) -> AlignmentQuad:
    """Computes the FFHQ square of a face from its landmarks.

    Args:
      landmarks: (x, y) in pixels, in dlib's numbering.
      scale: the factor by which the square is enlarged about its centre; 1 gives that of FFHQ.
    Raises:
      ValueError: the landmarks have another shape, are not finite or have no extent, or `scale` is not positive.
    """
    return quad_from_points(face_points(landmarks), scale=scale)


def quad_from_points(points: FacePoints, *, scale: float = 1.0) -> AlignmentQuad:
    """Computes the FFHQ square of a face from its eyes and mouth.

    Args:
      points: the eyes and the mouth.
      scale: see `alignment_quad`.
    Raises:
      ValueError: the points span no face, or `scale` is not a positive number.
    """
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"scale is {scale}; expected a positive number (1 for FFHQ)")
    eye_avg = (points.eye_left + points.eye_right) / 2
    eye_to_eye = points.eye_right - points.eye_left
    eye_to_mouth = points.mouth - eye_avg
    x = eye_to_eye - eye_to_mouth[::-1] * [-1, 1]
    extent = np.hypot(*eye_to_eye) + np.hypot(*eye_to_mouth)
    if extent == 0 or np.hypot(*x) < 1e-6 * extent:
        raise ValueError(
            f"landmarks span no face: eye to eye {eye_to_eye.tolist()}, eyes to mouth {eye_to_mouth.tolist()}; "
            "expected dlib's 68 points (36-41 the eye on the left of the picture, 48-67 the mouth): find the face again"
        )
    x = x / np.hypot(*x) * max(2.0 * np.hypot(*eye_to_eye), 1.8 * np.hypot(*eye_to_mouth)) * scale
    y = x[::-1] * [-1, 1]
    c = eye_avg + 0.1 * eye_to_mouth
    return AlignmentQuad(c, x, y, np.stack([c - x - y, c - x + y, c + x + y, c + x - y]), float(2 * np.hypot(*x)))


def quad_from_box(left: float, top: float, right: float, bottom: float) -> AlignmentQuad:
    """Makes the square of a crop that the user chose, for pictures of other things than faces.

    Args:
      left, top, right, bottom: edges in pixels of the photo, counted from its top left corner; they may lie outside.
    Raises:
      ValueError: the box has no extent, or is not square.
    """
    width, height = right - left, bottom - top
    box = f"{left:g},{top:g},{right:g},{bottom:g}"
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise ValueError(f"the crop {box} is no box; expected x0,y0,x1,y1 with x0 < x1 and y0 < y1, in pixels")
    if abs(width - height) > 1e-6 * width:
        x, y, half = (left + right) / 2, (top + bottom) / 2, max(width, height) / 2
        square = f"{x - half:g},{y - half:g},{x + half:g},{y + half:g}"
        raise ValueError(f"the crop {box} is {width:g}x{height:g} pixels; expected a square, for example {square}")
    c = np.array([left + right, top + bottom]) / 2 - 0.5  # positions in a quad count from pixel centres
    half_x, half_y = np.array([width / 2, 0.0]), np.array([0.0, height / 2])
    quad = np.stack([c - half_x - half_y, c - half_x + half_y, c + half_x + half_y, c + half_x - half_y])
    return AlignmentQuad(c, half_x, half_y, quad, float(width))


def plan_alignment(quad: AlignmentQuad, photo_size: tuple[int, int], size: int) -> AlignmentPlan:
    """Plans how to shrink, crop and pad a photo so that little more than the quad is left.

    Args:
      quad: the square, in pixels of the photo.
      photo_size: (width, height) in pixels.
      size: the side of the aligned image in pixels.
    Raises:
      ValueError: `size` is below 1, the quad is under 4 pixels wide, or it lies outside the photo.
    """
    if size < 1:
        raise ValueError(f"size is {size}; expected a number of pixels, 1 or more")
    if quad.qsize < 4:  # the padding below, 0.3 of it, needs a pixel
        raise ValueError(f"the face is {quad.qsize:.3g} pixels wide; expected at least 4: check the landmarks")
    low, high = quad.quad.min(axis=0), quad.quad.max(axis=0)
    if (high <= 0).any() or (low >= photo_size).any():
        raise ValueError(
            f"the face at x, y = {quad.c.round(1).tolist()} lies outside the photo of {photo_size[0]}x{photo_size[1]} "
            "pixels; expected landmarks in pixels of this photo: find the face in this copy of it"
        )
    shrink = math.floor(quad.qsize / size / 2)
    divisor = max(shrink, 1)
    width, height = (max(1, int(np.rint(side / divisor))) for side in photo_size)
    corners, qsize = quad.quad / divisor, quad.qsize / divisor
    border = max(int(np.rint(0.1 * qsize)), 3)

    left, top = np.floor(corners.min(axis=0)).astype(int) - border
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + border
    crop = (int(max(left, 0)), int(max(top, 0)), int(min(right, width)), int(min(bottom, height)))
    pad_initial = (int(max(-left, 0)), int(max(-top, 0)), int(max(right - width, 0)), int(max(bottom - height, 0)))
    # A quad that stays 4 pixels inside the photo needs no padding, even if its border does not fit. The number 4 is
    # that of the published recipe; the reference cases only show that it is at most 6.
    pad = (0, 0, 0, 0)
    if max(pad_initial) > border - 4:
        least = int(np.rint(0.3 * qsize))
        before_x, before_y, after_x, after_y = (max(amount, least) for amount in pad_initial)
        pad = (before_x, before_y, after_x, after_y)
    cropped = corners - crop[:2]
    return AlignmentPlan(
        shrink, (width, height), corners, qsize, border, crop, cropped, pad_initial, pad, cropped + pad[:2]
    )


def align(
    photo: UInt8[np.ndarray, "H W 3"],
    landmarks: Float[np.ndarray, "68 2"],
    size: int,
    *,
    scale: float = 1.0,
    supersampling: int = 4,
) -> UInt8[np.ndarray, "size size 3"]:
    """Cuts the FFHQ square of a face out of a photo, upright and centred.

    Args:
      photo: RGB, values in [0, 255].
      landmarks: (x, y) in pixels of the photo, in dlib's numbering.
      size: the side of the result in pixels.
      scale: the factor by which the square is enlarged about its centre; 1 gives that of FFHQ.
      supersampling: the number of bilinear samples per pixel of the result along each axis, which are reduced by
        Lanczos; FFHQ has 4.
    Returns:
      The aligned image; parts outside the photo are its blurred reflection.
    Raises:
      ValueError: `alignment_quad` or `plan_alignment` raises it, the photo is not uint8 RGB, or `supersampling` is
        below 1.
    """
    return cut(photo, alignment_quad(landmarks, scale=scale), size, supersampling=supersampling)


def cut(
    photo: UInt8[np.ndarray, "H W 3"], quad: AlignmentQuad, size: int, *, supersampling: int = 4
) -> UInt8[np.ndarray, "size size 3"]:
    """Cuts a square out of a photo.

    Args:
      photo: RGB, values in [0, 255].
      quad: the square, in pixels of the photo.
      size: the side of the result in pixels.
      supersampling: see `align`.
    Returns:
      The square's picture; parts outside the photo are its blurred reflection.
    Raises:
      ValueError: `plan_alignment` raises it, the photo is not uint8 RGB, or `supersampling` is below 1.
    """
    _check_photo(photo)
    if supersampling < 1:
        raise ValueError(f"supersampling is {supersampling}; expected 1 or more (FFHQ: 4)")
    plan = plan_alignment(quad, (photo.shape[1], photo.shape[0]), size)
    if plan.shrink > 1:
        photo = np.array(Image.fromarray(photo).resize(plan.shrunk_size, Image.Resampling.LANCZOS))
    left, top, right, bottom = plan.crop
    photo = photo[top:bottom, left:right]
    if any(plan.pad):
        photo = _pad(photo, plan.pad, plan.qsize_after_shrink)
    samples = (size * supersampling, size * supersampling)
    corners = (plan.quad_final + 0.5).ravel().tolist()  # landmarks count from pixel centres, Pillow from pixel corners
    sampled = Image.fromarray(photo).transform(samples, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return np.array(sampled.resize((size, size), Image.Resampling.LANCZOS))


def placement(plan: AlignmentPlan, photo_size: tuple[int, int], size: int) -> Placement:
    """Computes the map from the aligned image to the photo, exactly as `cut` samples.

    A photo that is reduced first is sampled (shrink - 1) / 2 of its pixels beside the quad: the published recipe adds
    its half pixel after the division.

    Args:
      plan: the result of `plan_alignment` for the quad.
      photo_size: (width, height) in pixels.
      size: the side of the aligned image in pixels.
    """
    origin = np.array(plan.crop[:2]) - plan.pad[:2] + 0.5
    scale = np.divide(photo_size, plan.shrunk_size)
    top_left, bottom_left, _, top_right = (plan.quad_final + origin) * scale
    return Placement(np.column_stack([(top_right - top_left) / size, (bottom_left - top_left) / size, top_left]), size)


def missing_share(hole: Bool[np.ndarray, "H W"], placement: Placement) -> Float32[np.ndarray, "size size"]:
    """Computes how much of each pixel of the aligned image is hole in the photo; outside the photo there is none.

    Args:
      hole: True where a pixel of the photo is missing.
      placement: the place of the aligned image in the photo.
    Returns:
      Shares from 0 to 1, each the mean of at least one sample per pixel of the photo.
    """
    samples = max(1, math.ceil(placement.pixels_per_pixel))
    corners = np.array(placement.corners)
    picture = Image.fromarray(hole.astype(np.uint8) * np.uint8(255))
    side = placement.size * samples
    sampled = picture.transform((side, side), Image.Transform.QUAD, corners.ravel().tolist(), Image.Resampling.BILINEAR)
    return np.asarray(sampled.reduce(samples), dtype=np.float32) / np.float32(255)


def _pad(photo: UInt8[np.ndarray, "h w 3"], pad: tuple[int, int, int, int], qsize: float) -> UInt8[np.ndarray, "H W 3"]:
    """Reflects the photo outwards, fading from blur (at its edge) to the median colour (at the outermost pixel)."""
    left, top, right, bottom = pad
    padded = np.pad(photo, ((top, bottom), (left, right), (0, 0)), mode="reflect")  # [H, W, 3]
    height, width = padded.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    # 0 at the photo's edge, 1 at the outermost pixel, negative inside.
    outwards = np.maximum(
        1 - np.minimum(x / left, (width - 1 - x) / right), 1 - np.minimum(y / top, (height - 1 - y) / bottom)
    )
    for channel in range(3):  # one channel at a time, because the largest photos take much memory as float32
        values = padded[..., channel].astype(np.float32)
        values += (_blur(values, 0.02 * qsize) - values) * np.clip(3 * outwards + 1, 0, 1)
        values += (np.median(values) - values) * np.clip(outwards, 0, 1)
        padded[..., channel] = np.clip(np.rint(values), 0, 255)
    return padded


def _blur(values: Float32[np.ndarray, "H W"], sigma: float) -> Float32[np.ndarray, "H W"]:
    """Blurs with a Gaussian; a wide one is applied to a reduced copy, where sigma is 8 to 12, which is far faster."""
    step = int(sigma // 8)
    if step < 2:
        return ndimage.gaussian_filter(values, sigma)
    height, width = values.shape
    small = np.asarray(Image.fromarray(values).reduce(step))
    blurred = Image.fromarray(ndimage.gaussian_filter(small, sigma / step))
    covered = (0, 0, width / step, height / step)  # the last row and column of blocks may be partial
    return np.asarray(blurred.resize((width, height), Image.Resampling.BILINEAR, box=covered))


def _check_photo(photo: np.ndarray) -> None:
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.size == 0 or photo.dtype != np.uint8:
        raise ValueError(f"expected a photo [H, W, 3] of uint8, got {photo.dtype} {list(photo.shape)}")
