"""Figures made for reading: curves with intervals above strips of example faces."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from experiments.measure.statistics import bootstrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.studies.setup import Row


def new(panels: int, strips: int = 0, examples: int = 1) -> tuple[Figure, list[Axes], list[list[Axes]]]:
    """A figure of panels side by side, with rows of pictures below.

    Args:
      panels: plots.
      strips: rows of pictures.
      examples: pictures in a row.
    Returns:
      The figure, its plots, and the places of the pictures.
    """
    from matplotlib.figure import Figure

    width = max(4.2 * panels, 7.0)
    side = width / (examples + 0.6)
    figure = Figure(figsize=(width, 3.2 + 1.12 * side * strips), layout="constrained", dpi=100)
    if not strips:
        return figure, list(np.ravel(figure.subplots(1, panels))), []
    above, below = figure.subfigures(2, 1, height_ratios=(3.2, 1.12 * side * strips))
    places = below.subplots(strips, examples, squeeze=False)
    for place in places.ravel():
        place.set(xticks=[], yticks=[])
        for spine in place.spines.values():
            spine.set_visible(False)
    return figure, list(np.ravel(above.subplots(1, panels))), places.tolist()


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG of 256 colours, which is a third of the size and looks the same."""
    buffer = io.BytesIO()
    figure.savefig(buffer)
    Image.open(buffer).convert("RGB").quantize(256).save(path, optimize=True)


def show(place: Axes, picture: np.ndarray, title: str = "", label: str = "") -> None:
    """A picture with a title above and a label at its left."""
    place.imshow(picture, interpolation="nearest")
    place.set_title(title, fontsize=8)
    place.set_ylabel(label, fontsize=8)


def curve(axes: Axes, rows: Sequence[Row], x: str, y: str, *, label: str | None = None, marker: str = "o") -> None:
    """Means over the faces at each value of x, with their 95 % intervals."""
    values = sorted({row[x] for row in rows})
    means = [bootstrap(np.array([row[y] for row in rows if row[x] == value])) for value in values]
    centre = np.array([mean.mean for mean in means])
    (line,) = axes.plot(values, centre, marker=marker, markersize=4, label=label)
    low, high = np.array([mean.low for mean in means]), np.array([mean.high for mean in means])
    axes.fill_between(values, low, high, alpha=0.15, color=line.get_color())


def log_axes(axes: Axes, x: str, values: Sequence[float], y: str) -> None:
    """Labels axes, of which the horizontal one is logarithmic and marked at the values alone."""
    axes.set(xlabel=x, ylabel=y, xscale="log")
    axes.set_xticks(values, values)
    axes.minorticks_off()


def points(axes: Axes, rows: Sequence[Row], x: str, y: str, *, label: str | None = None, shift: float = 0.0) -> None:
    """The same for values of x without an order, side by side; `shift` keeps series apart."""
    values = list(dict.fromkeys(row[x] for row in rows))
    means = [bootstrap(np.array([row[y] for row in rows if row[x] == value])) for value in values]
    error = np.array([[mean.mean - mean.low for mean in means], [mean.high - mean.mean for mean in means]])
    places = np.arange(len(values)) + shift
    axes.errorbar(places, [mean.mean for mean in means], yerr=error, fmt="o", markersize=4, capsize=2, label=label)
    axes.set_xticks(range(len(values)), values)


def mean_of(rows: Sequence[Row], y: str, digits: int, **where: object) -> str:
    """Mean and interval of the rows whose labels are as given, as text."""
    chosen = [row[y] for row in rows if all(row[name] == value for name, value in where.items())]
    return bootstrap(np.array(chosen)).text(digits)
