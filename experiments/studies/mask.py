"""Finding: inpainting works unaided. How far, by the area and the position of the hole."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from experiments.measure import classical
from experiments.studies import figures
from experiments.studies.setup import Case, Findings, Row, Setup
from jaxgan import images, masks, metrics
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
    for row, case in zip(rows, cases, strict=True):
        row |= _inside_and_outside(setup, row["images"], np.asarray(case.true.mask))
    by_area = [row for row in rows if row["kind"] == "area"]
    by_position = [row for row in rows if row["kind"] == "position"]
    figure, (area, position, perceived), strips = figures.new(3, 3, len(holes))
    series = {"error_inside": "inside the hole", "error_outside": "outside", "error_biharmonic": "inside, biharmonic"}
    for (name, label), shift in zip(series.items(), (-0.1, 0.0, 0.1), strict=True):
        figures.curve(area, by_area, "hole", name, label=label)
        figures.points(position, by_position, "hole", name, label=label, shift=shift)
    figures.curve(perceived, by_area, "hole", "lpips_kept", label="this network")
    figures.curve(perceived, by_area, "hole", "lpips_biharmonic", label="biharmonic")
    for axes in (area, perceived):
        axes.set(xlabel="area of a hole in the middle (share of the picture)", ylabel="mean error (of 255 levels)")
        axes.legend(fontsize=8)
    perceived.set_ylabel(f"{setup.lpips_name} to the truth, other pixels kept")
    position.set(xlabel="place of a hole of a tenth", ylabel="mean error (of 255 levels)")
    for index, row in enumerate(rows[:: len(setup.indices)]):
        figures.show(strips[0][index], row["images"]["observed"], str(row["hole"]), "" if index else "observed")
        figures.show(strips[1][index], row["images"]["kept"], "", "" if index else "this network")
        figures.show(strips[2][index], row["images"]["biharmonic"], "", "" if index else "biharmonic")
    parts = [
        f"{hole}: {figures.mean_of(rows, 'error_inside', 1, hole=hole)} inside, "
        f"{figures.mean_of(rows, 'error_outside', 1, hole=hole)} outside, "
        f"{figures.mean_of(rows, 'error_biharmonic', 1, hole=hole)} inside by biharmonic functions"
        for _, hole in holes
    ]
    perceptual = [
        f"{area}: {figures.mean_of(rows, 'lpips_kept', 3, hole=area)} and "
        f"{figures.mean_of(rows, 'lpips_biharmonic', 3, hole=area)}"
        for area in AREAS
    ]
    text = (
        f"Mean error of 255 levels by hole: {'; '.join(parts)}. {setup.lpips_name} to the truth where all other "
        f"pixels are kept, of this network and of biharmonic functions: {'; '.join(perceptual)}."
    )
    return Findings(rows, figure, text)


def _inside_and_outside(setup: Setup, pictures: dict[str, np.ndarray], mask: np.ndarray) -> Row:
    """Errors of a restored face and of a biharmonic fill; adds both pictures, with the other pixels kept."""
    hole = mask < 0.5
    truth, observed = pictures["truth"], pictures["observed"]
    filled = images.to_uint8(classical.restore(Mask(mask), images.to_float(observed)))
    pictures["kept"] = np.where(hole[:, :, None], pictures["restored"], truth)
    pictures["biharmonic"] = np.where(hole[:, :, None], filled, truth)
    error, error_biharmonic = (
        np.abs(pictures[name].astype(np.float64) - truth).mean(-1) for name in ("restored", "biharmonic")
    )
    kept, biharmonic = (
        metrics.compare(setup.lpips, images.to_float(pictures[name]), images.to_float(truth))["lpips"]
        for name in ("kept", "biharmonic")
    )
    return {
        "error_inside": error[hole].mean(),
        "error_outside": error[~hole].mean(),
        "error_biharmonic": error_biharmonic[hole].mean(),
        "lpips_kept": kept,
        "lpips_biharmonic": biharmonic,
    }


def _square(area: float, x: float, y: float) -> tuple[float, float, float, float]:
    half = area**0.5 / 2
    return x - half, y - half, x + half, y + half
