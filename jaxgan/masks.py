"""Makes masks that hide parts of a picture: 1 where the pixel is observed, 0 where it is missing."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw

SUPERSAMPLING = 4
"""Strokes are drawn on a picture whose sides are so many times those of the mask."""


def strokes(seed: int, resolution: int, *, count: int = 4, width: float = 0.08) -> Float32[np.ndarray, "size size"]:
    """Hides free-form brush strokes, which are random walks of straight pieces with round joints.

    Args:
      seed: determines the strokes, which have the same proportions at every resolution.
      resolution: pixels along a side of the square mask.
      count: number of strokes.
      width: width of a stroke as a share of the side.
    Returns:
      1 where a pixel is observed, 0 under the strokes.
    References:
      Yu et al., "Free-Form Image Inpainting with Gated Convolution", 2019, Algorithm 1, arXiv 1806.03589 (the idea).
    """
    generator = np.random.default_rng(seed)
    picture, draw = _canvas(resolution)
    size = picture.width
    for _ in range(count):
        point = generator.uniform(0.2, 0.8, 2)
        angle = generator.uniform(0, 2 * np.pi)
        points = [point]
        for _ in range(generator.integers(3, 6)):
            angle += generator.uniform(-1, 1)
            point = np.clip(point + generator.uniform(0.1, 0.25) * np.array([np.cos(angle), np.sin(angle)]), 0, 1)
            points.append(point)
        pixels = [tuple(float(v) * size for v in p) for p in points]
        draw.line(pixels, fill=0, width=round(width * size))
        radius = width * size / 2
        for x, y in pixels:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return _mask_of(picture)


def lines(seed: int, resolution: int, *, count: int, width: float = 0.08) -> Float32[np.ndarray, "size size"]:
    """Hides straight strokes between points whose coordinates lie in the outer thirds of the picture.

    Args:
      seed: determines the strokes; at every resolution they are the same in proportion.
      resolution: pixels along a side of the square mask.
      count: number of strokes.
      width: width of a stroke as a share of the side.
    Returns:
      1 where a pixel is observed, 0 where most of it lies under a stroke.
    References:
      Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, Section 4, arXiv 2302.06733.
    """
    generator = np.random.default_rng(seed)
    picture, draw = _canvas(resolution)
    size = picture.width
    for _ in range(count):
        points = generator.uniform(0, 1 / 3, (2, 2)) + generator.integers(2, size=(2, 2)) * 2 / 3
        draw.line([tuple(float(v) * size for v in point) for point in points], fill=0, width=round(width * size))
    return _mask_of(picture)


def _canvas(resolution: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A white picture, larger than the mask so that edges fall where most of a pixel is covered, and its brush."""
    picture = Image.new("L", (resolution * SUPERSAMPLING,) * 2, 255)
    return picture, ImageDraw.Draw(picture)


def _mask_of(picture: Image.Image) -> Float32[np.ndarray, "size size"]:
    return (np.asarray(picture.reduce(SUPERSAMPLING)) > 127).astype(np.float32)


def box(resolution: int, left: float, top: float, right: float, bottom: float) -> Float32[np.ndarray, "size size"]:
    """Hides a rectangle.

    Args:
      resolution: pixels along a side of the square mask.
      left, top, right, bottom: edges of the rectangle as shares of the side, from 0 to 1.
    Returns:
      1 where a pixel is observed, 0 where its centre lies in the rectangle.
    Raises:
      ValueError: the sides are out of order or range, or hide the whole picture.
    """
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise ValueError(
            f"the box ({left}, {top}, {right}, {bottom}) is not (left, top, right, bottom) with "
            "0 <= left < right <= 1 and 0 <= top < bottom <= 1."
        )
    centres = (np.arange(resolution) + 0.5) / resolution
    inside_x, inside_y = (left <= centres) & (centres < right), (top <= centres) & (centres < bottom)
    mask = 1 - np.outer(inside_y, inside_x).astype(np.float32)
    if not mask.any():
        raise ValueError("the box hides the whole picture; leave something to be observed.")
    return mask


def half(resolution: int) -> Float32[np.ndarray, "size size"]:
    """Hides the right half.

    Args:
      resolution: pixels along a side of the square mask.
    """
    return box(resolution, 0.5, 0.0, 1.0, 1.0)
