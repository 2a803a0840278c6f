"""Finding: a blur that is undone for a little more noise than there is looks better."""

from __future__ import annotations

import numpy as np

from experiments.measure.damages import SEVERE, blur
from experiments.studies import figures
from experiments.studies.setup import Case, Findings, Row, Setup, classical_row
from jaxgan import images, restoration

LEVELS = (round(255 * restoration.ROUNDING, 2), 0.5, 0.8, 1.2, 2.0, 4.0)
"""Standard deviations of the assumed noise in 8-bit levels; the first is that of rounding, which there is."""
BLURS = {"sigma 0.625": (0.625, 3), "sigma 1.25": (1.25, 7), "sigma 3": (3.0, 19), "sigma 6": SEVERE}
"""Sigma and kernel size in pixels at 128."""


def study(setup: Setup) -> Findings:
    """Restores every face from every blur, once for each level of noise."""
    size = setup.generator.config.resolution
    rows: list[Row] = []
    for name, (sigma, taps) in BLURS.items():
        degradation = blur(sigma, taps, size)
        cases = [Case({"blur": name}, face, degradation, degradation) for face in setup.indices]
        for row, case in zip(setup.invert(setup.config("deblur"), cases), cases, strict=True):
            observed, reconstruction = (images.to_float(row["images"][kind]) for kind in ("observed", "restored"))
            for level in LEVELS:
                restored = restoration.restore(observed, degradation, reconstruction, noise=level / 255)
                labels = {"blur": name, "noise": level, "steps": row["steps"]}
                measured = classical_row(setup, labels, case.face, degradation, restored)
                rows.append(measured | {"picture": images.to_uint8(restored)})
    figure, (perceptual, pixels), strips = figures.new(2, len(BLURS), len(LEVELS))
    for name, strip in zip(BLURS, strips, strict=True):
        chosen = [row for row in rows if row["blur"] == name]
        figures.curve(perceptual, chosen, "noise", "lpips_truth", label=name)
        figures.curve(pixels, chosen, "noise", "psnr_truth", label=name)
        first = [row for row in chosen if row["face"] == setup.faces.names[0]]
        for place, row in zip(strip, first, strict=True):
            figures.show(place, row["picture"], f"{row['noise']:g}", name if place is strip[0] else "")
    figures.log_axes(perceptual, "assumed noise (8-bit levels)", LEVELS, f"{setup.lpips_name} to the truth")
    figures.log_axes(pixels, "assumed noise (8-bit levels)", LEVELS, "PSNR to the truth (dB)")
    perceptual.legend(fontsize=8)
    return Findings(rows, figure, _table(setup, rows))


def _table(setup: Setup, rows: list[Row]) -> str:
    """LPIPS and PSNR of each blur and level."""
    lines = [
        f"{len(setup.indices)} faces, {setup.steps} steps; {setup.lpips_name} / PSNR in dB, to the truth, by the noise "
        "that was assumed, in 8-bit levels.",
        "",
        f"| blur | {' | '.join(map(str, LEVELS))} |",
        "| --- " * (1 + len(LEVELS)) + "|",
    ]
    for name in BLURS:
        cells = []
        for level in LEVELS:
            chosen = [row for row in rows if (row["blur"], row["noise"]) == (name, level)]
            lpips, psnr = (np.mean([row[column] for row in chosen]) for column in ("lpips_truth", "psnr_truth"))
            cells.append(f"{lpips:.3f} / {psnr:.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
