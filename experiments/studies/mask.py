"""Finding: inpainting works unaided. How far, by the area and the position of the hole."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from experiments.studies import figures
from experiments.studies.setup import Case, Findings, Setup
from jaxgan import masks
from jaxgan.degradations import Mask

AREAS = (0.05, 0.1, 0.2, 0.4)
"""Of a square hole in the middle, as a share of the picture."""
POSITIONS = {"eyes": (0.5, 0.35), "mouth": (0.5, 0.75), "cheek": (0.2, 0.55), "corner": (0.17, 0.17)}
"""Centres of a hole of a tenth of the picture, as shares of width and height."""


def study(setup: Setup) -> Findings:
    """Square holes of growing area, then one hole at several places; errors inside and outside of it."""
    size = setup.generator.config.resolution
    holes = {("area", area): masks.box(size, *_square(area, 0.5, 0.5)) for area in AREAS}
    holes |= {("position", name): masks.box(size, *_square(0.1, *centre)) for name, centre in POSITIONS.items()}
    cases = [
        Case({"kind": kind, "hole": hole}, i, Mask(jnp.asarray(mask)), Mask(jnp.asarray(mask)))
        for (kind, hole), mask in holes.items()
        for i in setup.indices
    ]
    rows = setup.invert(setup.config("inpaint"), cases)
    for row in rows:
        hidden = holes[row["kind"], row["hole"]] < 0.5
        truth, restored = (row["images"][name].astype(np.float64) for name in ("truth", "restored"))
        error = np.abs(restored - truth).mean(-1)
        row |= {"error_inside": error[hidden].mean(), "error_outside": error[~hidden].mean()}
    by_area = [row for row in rows if row["kind"] == "area"]
    by_position = [row for row in rows if row["kind"] == "position"]
    figure, (area, position), strips = figures.new(2, 2, len(holes))
    for name, label, shift in (("error_inside", "inside the hole", -0.05), ("error_outside", "outside", 0.05)):
        figures.curve(area, by_area, "hole", name, label=label)
        figures.points(position, by_position, "hole", name, label=label, shift=shift)
    area.set(xlabel="area of a hole in the middle (share of the picture)", ylabel="mean error (of 255 levels)")
    position.set(xlabel="place of a hole of a tenth", ylabel="mean error (of 255 levels)")
    area.legend(fontsize=8)
    for index, row in enumerate(rows[:: len(setup.indices)]):
        figures.show(strips[0][index], row["images"]["observed"], str(row["hole"]), "" if index else "observed")
        figures.show(strips[1][index], row["images"]["restored"], "", "" if index else "restored")
    parts = [
        f"{hole}: {figures.mean_of(rows, 'error_inside', 1, hole=hole)} inside, "
        f"{figures.mean_of(rows, 'error_outside', 1, hole=hole)} outside"
        for _, hole in holes
    ]
    return Findings(rows, figure, "Mean error of 255 levels by hole: " + "; ".join(parts) + ".")


def _square(area: float, x: float, y: float) -> tuple[float, float, float, float]:
    half = area**0.5 / 2
    return x - half, y - half, x + half, y + half
