"""One latent for all layers (W) against one per layer (W+)."""

from __future__ import annotations

from experiments.studies import figures
from experiments.studies.setup import Case, Findings, Row, Setup
from jaxgan.tasks import default_degradation

TASKS = ("invert", "inpaint", "deblur", "colorize")
SPACES = ("w", "w_plus")


def study(setup: Setup) -> Findings:
    """Each task in both spaces."""
    rows: list[Row] = []
    for task in TASKS:
        degradations = [default_degradation(task, setup.generator.config.resolution, seed=i) for i in setup.indices]
        for space in SPACES:
            cases = [Case({"task": task, "space": space}, i, degradations[i], degradations[i]) for i in setup.indices]
            rows += setup.invert(setup.config(task, latent_space=space), cases)
    figure, panels, strips = figures.new(3, 2, len(TASKS) + 1)
    titles = {
        "lpips_truth": f"{setup.lpips_name} to the truth",
        "psnr_truth": "PSNR to the truth (dB)",
        "realism": "distance of w",
    }
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        for space, shift in zip(SPACES, (-0.05, 0.05), strict=True):
            figures.points(axes, [row for row in rows if row["space"] == space], "task", name, label=space, shift=shift)
        axes.set(ylabel=title)
    panels[0].legend(fontsize=8)
    for strip, space in zip(strips, SPACES, strict=True):
        chosen = [row for row in rows if row["space"] == space][:: len(setup.indices)]
        figures.show(strip[0], chosen[0]["images"]["truth"], "truth", space)
        for place, row in zip(strip[1:], chosen, strict=True):
            figures.show(place, row["images"]["restored"], row["task"])
    parts = [
        f"{task} {figures.mean_of(rows, 'lpips_truth', 3, task=task, space='w')} in W, "
        f"{figures.mean_of(rows, 'lpips_truth', 3, task=task, space='w_plus')} in W+"
        for task in TASKS
    ]
    return Findings(rows, figure, f"{setup.lpips_name} to the truth: {'; '.join(parts)}.")
