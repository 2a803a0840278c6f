"""The picture of a spread: what is sure in grey, what differs from sample to sample in colours, and their legend."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TOP = 40.0
"""The spread, in levels of 8 bits, of the last colour; larger ones have it, too."""
COLOURS = np.array([(255, 245, 130), (255, 165, 30), (225, 30, 40), (110, 0, 110)], np.float64)
"""The colours of spreads at even distances from 0 to `TOP`."""
WITHOUT_ESTIMATE = (60, 130, 255)
"""The colour of pixels that were filled in, but of which there are no samples."""
_TINT = 0.8
"""The share of a colour in a pixel, from an eighth of `TOP` on."""


def coloured(picture: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Lays colours for the spread over the grey picture.

    Args:
      picture: uint8 `[h, w, 3]`.
      spread: of the same size, in levels of 8 bits, NaN where there is no estimate.
    Returns:
      uint8 picture; where the spread is zero it is grey.
    """
    height = np.clip(np.nan_to_num(spread) / TOP, 0, 1)
    steps = np.linspace(0, 1, len(COLOURS))
    colours = np.stack([np.interp(height, steps, COLOURS[:, channel]) for channel in range(3)], axis=-1)
    tint = _TINT * np.clip(8 * height, 0, 1)
    unknown = np.isnan(spread)
    colours[unknown], tint[unknown] = WITHOUT_ESTIMATE, _TINT
    grey = picture.mean(-1, keepdims=True)
    return np.rint(grey + tint[..., None] * (colours - grey)).astype(np.uint8)


def legend(width: int, *, has_unknown: bool) -> np.ndarray:
    """Explains the colours.

    Args:
      width: of the strip in pixels; its height follows.
      has_unknown: whether pixels without an estimate are to be explained.
    Returns:
      uint8 picture.
    """
    lines = ["grey: the same in every result; coloured: guessed, the results differ"]
    lines += ["blue: filled in smoothly, far from any face; no estimate"] if has_unknown else []
    font = _fitting(lines, width)
    line = round(1.4 * font.size)
    picture = Image.new("RGB", (width, line * len(lines) + 7 * line // 2), "white")
    pen = ImageDraw.Draw(picture)
    for number, text in enumerate(lines):
        pen.text((width / 2, line * number + line / 2), text, fill="black", font=font, anchor="mm")
    left, top, right = width // 12, line * len(lines) + line // 4, width - width // 12
    ramp = np.broadcast_to(np.linspace(0, TOP, right - left), (line, right - left))
    picture.paste(Image.fromarray(coloured(np.full((*ramp.shape, 3), 150, np.uint8), ramp)), (left, top))
    for value in range(0, int(TOP) + 1, 10):
        text = f"{value}" if value < TOP else f"{value} or more"
        place = (left + (right - left) * value / TOP, top + line)
        pen.text(place, text, fill="black", font=font, anchor="ma" if value < TOP else "ra")
    pen.text(
        (width / 2, top + 2 * line),
        "how far they differ (255 is from black to white)",
        fill="black",
        font=font,
        anchor="ma",
    )
    return np.asarray(picture)


def _fitting(lines: list[str], width: int) -> ImageFont.FreeTypeFont:
    """The largest font in which the lines are not wider than a picture, and no larger than a picture's labels are."""
    length = max(map(ImageFont.load_default(100).getlength, lines))
    return ImageFont.load_default(max(8, min(int(96 * width / length), width // 40)))
