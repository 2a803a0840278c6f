"""Sheets of labelled pictures: the panel of a run, the contact sheet of many, and the faces found in a photograph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont


def sheet(
    tiles: Sequence[tuple[str, np.ndarray]], *, columns: int, gap: int = 4, bar: int = 0, font_size: int = 15
) -> np.ndarray:
    """Pictures in rows, each with a label in a white bar above it.

    Args:
      tiles: label (of as many lines as fit into the bar) and uint8 picture `[h, w, 3]` of each.
      columns: pictures in a row; a column is as wide as its widest picture, a row as high as its highest.
      gap: white pixels between columns and between rows.
      bar: height of the labels' bars in pixels.
      font_size: of the labels in pixels.
    Returns:
      uint8 picture.
    """
    columns = min(columns, len(tiles))
    rows = [tiles[first : first + columns] for first in range(0, len(tiles), columns)]
    widths = [max(picture.shape[1] for _, picture in tiles[column::columns]) for column in range(columns)]
    heights = [bar + max(picture.shape[0] for _, picture in row) for row in rows]
    lefts, tops = (np.cumsum([0, *(side + gap for side in sides)]).tolist() for sides in (widths, heights))
    picture = Image.new("RGB", (lefts[-1] - gap, tops[-1] - gap), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=font_size)
    for top, row in zip(tops, rows, strict=False):  # the last of `lefts` and `tops` is where the sheet ends
        for left, width, (label, tile) in zip(lefts, widths, row, strict=False):
            picture.paste(Image.fromarray(tile), (left, top + bar))
            pen.text((left + width / 2, top + 2), label, fill="black", font=font, anchor="ma", align="center")
    return np.asarray(picture)


def enlarged(picture: np.ndarray, least: int) -> np.ndarray:
    """A small picture enlarged by the whole factor that brings its height to `least` or more."""
    factor = max(1, -(-least // picture.shape[0]))
    return np.repeat(np.repeat(picture, factor, 0), factor, 1)


def thumbnail(picture: np.ndarray, side: int) -> np.ndarray:
    """A square picture of another size: smoothed where it shrinks, its pixels kept visible where it grows."""
    way = Image.Resampling.LANCZOS if len(picture) > side else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(picture).resize((side, side), way))
