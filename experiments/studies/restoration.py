"""Finding: a restoration keeps what was observed, and beats the classical method wherever much is missing."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from experiments.measure import classical
from experiments.measure.damages import BOX, SEVERE, blur
from experiments.measure.statistics import bootstrap
from experiments.studies import figures
from experiments.studies.setup import Case, Findings, Row, Setup, classical_row
from jaxgan import images, linear_inverse, masks, restoration, spectra
from jaxgan.degradations import Degradation, Grayscale, Mask

RESULTS = ("classical", "prior alone", "reconstruction", "restoration", "fidelity 1")


def damages(size: int, face: int) -> dict[str, tuple[str, Degradation]]:
    """The task and the degradation behind each row of the table; widths of blurs are pixels at 128."""
    blurs = {"blur, mild": (0.625, 3), "blur, default": (1.25, 7), "blur, severe": SEVERE}
    return {
        "strokes": ("inpaint", Mask(jnp.asarray(masks.strokes(face, size)))),
        "box": ("inpaint", Mask(jnp.asarray(masks.box(size, *BOX)))),
        **{name: ("deblur", blur(sigma, taps, size)) for name, (sigma, taps) in blurs.items()},
        "colour": ("colorize", Grayscale()),
    }


def study(setup: Setup) -> Findings:
    """Restores every face from every damage, and compares with the classical method and with the spectrum alone."""
    size = setup.generator.config.resolution
    names = list(damages(size, 0))
    rows: list[Row] = []
    for name in names:
        of_faces = [damages(size, face)[name] for face in setup.indices]
        cases = [
            Case({"damage": name}, face, each, each) for face, (_, each) in zip(setup.indices, of_faces, strict=True)
        ]
        found = setup.invert(setup.config(of_faces[0][0]), cases)
        for row, case in zip(found, cases, strict=True):
            rows += _results(setup, row, case)
    figure, (perceptual, pixels), strips = figures.new(2, len(RESULTS) + 2, len(names))
    for index, result in enumerate(RESULTS):
        chosen = [row for row in rows if row["result"] == result]
        shift = (index - 2) / 8
        figures.points(perceptual, chosen, "damage", "lpips_truth", label=result, shift=shift)
        figures.points(pixels, chosen, "damage", "psnr_truth", label=result, shift=shift)
    perceptual.set_ylabel(f"{setup.lpips_name} to the truth")
    pixels.set_ylabel("PSNR to the truth (dB)")
    perceptual.legend(fontsize=7)
    for axes in (perceptual, pixels):
        axes.set_xticks(range(len(names)), names)  # the last result need not have all of them
        axes.tick_params(axis="x", labelsize=7)
    first = setup.faces.names[0]
    for column, name in enumerate(names):
        shown = {row["result"]: row for row in rows if (row["damage"], row["face"]) == (name, first)}
        pictures = {"truth": shown["reconstruction"]["images"]["truth"]}
        pictures["observed"] = shown["reconstruction"]["images"]["observed"]
        pictures |= {result: row["picture"] for result, row in shown.items()}
        for strip, label in zip(strips, ("truth", "observed", *RESULTS), strict=True):
            if label in pictures:
                figures.show(strip[column], pictures[label], name if label == "truth" else "", "" if column else label)
    return Findings(rows, figure, _table(setup, rows, names))


def _results(setup: Setup, row: Row, case: Case) -> list[Row]:
    """A row for each result of a face; colour has neither a spectrum nor a fidelity."""
    observed, reconstruction = (images.to_float(row["images"][name]) for name in ("observed", "restored"))
    is_grey = isinstance(case.true, Grayscale)
    results = {
        "classical": classical.restore(case.true, observed),
        "reconstruction": reconstruction,
        "restoration": restoration.restore(observed, case.true, reconstruction),
    }
    if not is_grey:
        alone = spectra.without_generator(linear_inverse.default_spectrum(case.true, observed.shape))
        nothing = np.zeros_like(observed)
        results["prior alone"] = restoration.restore(observed, case.true, nothing, spectrum=alone, fidelity=1.0)
        results["fidelity 1"] = restoration.restore(observed, case.true, reconstruction, fidelity=1.0)
    labels = {"damage": row["damage"], "steps": row["steps"]}
    return [
        classical_row(setup, labels | {"result": name}, case.face, case.true, results[name])
        | {"picture": images.to_uint8(results[name])}
        | ({"images": row["images"]} if name == "reconstruction" else {})
        for name in RESULTS
        if name in results
    ]


def _table(setup: Setup, rows: list[Row], names: list[str]) -> str:
    """LPIPS and PSNR of each result, and the paired difference in LPIPS between restoration and classical method."""
    header = ["damage", *RESULTS, "restoration less classical"]
    lines = [
        f"{len(setup.indices)} faces, {setup.steps} steps; PSNR in dB / {setup.lpips_name}, to the truth; the "
        "difference is in LPIPS, with its 95 % interval over faces.",
        "",
        "| " + " | ".join(header) + " |",
        "| --- " * len(header) + "|",
    ]
    for name in names:
        of_result = {
            result: [row for row in rows if (row["damage"], row["result"]) == (name, result)] for result in RESULTS
        }
        cells = [
            f"{np.mean([row['psnr_truth'] for row in chosen]):.1f} / "
            f"{np.mean([row['lpips_truth'] for row in chosen]):.3f}"
            if chosen
            else "-"
            for chosen in of_result.values()
        ]
        pairs = zip(of_result["restoration"], of_result["classical"], strict=True)
        differences = np.array([ours["lpips_truth"] - theirs["lpips_truth"] for ours, theirs in pairs])
        lines.append("| " + " | ".join([name, *cells, bootstrap(differences).text(3)]) + " |")
    return "\n".join(lines)
