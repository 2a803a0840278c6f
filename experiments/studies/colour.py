"""Finding: colourisation turns green unless the latent weight is about 0.9."""

from __future__ import annotations

import numpy as np

from experiments.studies import figures
from experiments.studies.setup import Case, Findings, Setup
from jaxgan.degradations import Grayscale

WEIGHTS = (0.0, 0.1, 0.3, 0.9, 3.0, 10.0)


def study(setup: Setup) -> Findings:
    """Measures the tint of colourised faces: their mean a* and b* in CIELAB, less those of the truth."""
    cases = [Case({"weight": weight}, i, Grayscale(), Grayscale(), weight) for weight in WEIGHTS for i in setup.indices]
    rows = setup.invert(setup.config("colorize"), cases)
    for row in rows:
        shift = _mean_lab(row["images"]["restored"]) - _mean_lab(row["images"]["truth"])
        row |= {"a_shift": shift[1], "b_shift": shift[2], "tint": float(np.hypot(*shift[1:]))}
    figure, (tint, accuracy), strips = figures.new(2, 2, len(WEIGHTS) + 1)
    for name, label in (("a_shift", "a* (green to red)"), ("b_shift", "b* (blue to yellow)"), ("tint", "distance")):
        figures.curve(tint, rows, "weight", name, label=label)
    figures.curve(accuracy, rows, "weight", "lpips_truth")
    tint.axhline(0, color="gray", linewidth=0.8)
    tint.set(xlabel="latent_dist_reg_weight", ylabel="shift of the mean colour (CIELAB)")
    accuracy.set(xlabel="latent_dist_reg_weight", ylabel=f"{setup.lpips_name} to the truth")
    tint.legend(fontsize=8)
    count = len(setup.indices)
    for axes in (tint, accuracy):
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set_xlim(-0.01, 12)
    for number, strip in enumerate(strips):
        of_face = rows[min(number, count - 1) :: count]
        figures.show(strip[0], of_face[0]["images"]["truth"], "" if number else "truth")
        for place, row in zip(strip[1:], of_face, strict=True):
            figures.show(place, row["images"]["restored"], "" if number else f"{row['weight']:g}")
    parts = [
        f"{weight:g}: a* {figures.mean_of(rows, 'a_shift', 1, weight=weight)}, "
        f"distance {figures.mean_of(rows, 'tint', 1, weight=weight)}"
        for weight in WEIGHTS
    ]
    return Findings(
        rows, figure, "Shift of the mean colour by weight (negative a* is green): " + "; ".join(parts) + "."
    )


def _mean_lab(image: np.ndarray) -> np.ndarray:
    from skimage.color import rgb2lab

    return rgb2lab(image).mean((0, 1))
