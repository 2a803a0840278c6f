"""The mask of a photograph from what was painted on its picture in the browser.

The browser sends the strokes themselves, in shares of the picture's sides, and no pixels: so a stroke lies where it was
painted, however large the photograph is, however its file is rotated, and however the picture was scaled or zoomed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

MOST_POINTS = 200_000
"""Points of all strokes; more are no painting by hand."""


@dataclasses.dataclass(frozen=True)
class Stroke:
    """A movement of the brush.

    Attributes:
      points: places in shares of the picture's width and height; none for a stroke that clears everything before it.
      width: of the brush, as a share of the longer side.
      erases: whether it takes away instead of adding.
    """

    points: tuple[tuple[float, float], ...]
    width: float = 0.0
    erases: bool = False


def read(values: Any) -> tuple[Stroke, ...]:
    """Reads the strokes that a browser sent.

    Args:
      values: a list of `{"points": [[x, y], ...], "width": w, "erases": bool}`.
    Raises:
      ValueError: they are no strokes, or too many.
    """
    try:
        strokes = tuple(
            Stroke(
                tuple((float(x), float(y)) for x, y in value["points"]), float(value["width"]), bool(value["erases"])
            )
            for value in values
        )
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"the painting cannot be read ({error}); reload the page and paint again.") from None
    numbers = [number for stroke in strokes for point in stroke.points for number in (*point, stroke.width)]
    if len(numbers) > 3 * MOST_POINTS:
        raise ValueError(f"the painting has more than {MOST_POINTS} points; clear it, and use a larger brush.")
    if not all(math.isfinite(number) and -1 <= number <= 2 for number in numbers):
        raise ValueError("the painting leaves the photograph; reload the page and paint again.")
    return strokes


def draw(strokes: Sequence[Stroke], size: tuple[int, int], below: np.ndarray | None = None) -> np.ndarray:
    """Draws strokes on a photograph.

    Args:
      strokes: in the order in which they were painted.
      size: width and height of the upright photograph.
      below: a hole that was there before them, bool `[H, W]`.
    Returns:
      The hole, bool `[H, W]`: True where something is missing.
    """
    picture = Image.new("L", size) if below is None else Image.fromarray(np.where(below, np.uint8(255), np.uint8(0)))
    pen = ImageDraw.Draw(picture)
    for stroke in strokes:
        if not stroke.points:
            pen.rectangle((0, 0, *size), fill=0)
            continue
        fill = 0 if stroke.erases else 255
        width = max(1.0, stroke.width * max(size))
        places = [(x * size[0] - 0.5, y * size[1] - 0.5) for x, y in stroke.points]  # of pixel centres
        pen.line(places, fill=fill, width=round(width))
        for x, y in places:
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=fill)
    return np.asarray(picture) > 0
