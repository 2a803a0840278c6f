"""Finding: a higher `latent_dist_reg_weight` keeps faces plausible but loses detail."""

from __future__ import annotations

from experiments.studies import figures
from experiments.studies.setup import Case, Findings, Row, Setup
from jaxgan.tasks import default_degradation

WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
TASKS = ("invert", "inpaint", "deblur", "colorize")


def study(setup: Setup) -> Findings:
    """Sweeps the weight for each task."""
    rows: list[Row] = []
    for task in TASKS:
        degradations = [default_degradation(task, setup.generator.config.resolution, seed=i) for i in setup.indices]
        cases = [
            Case({"task": task, "weight": weight}, i, degradations[i], degradations[i], weight)
            for weight in WEIGHTS
            for i in setup.indices
        ]
        rows += setup.invert(setup.config(task), cases)
    figure, (accuracy, fidelity, plausible), strips = figures.new(3, len(TASKS), len(WEIGHTS))
    for task, strip in zip(TASKS, strips, strict=True):
        chosen = [row for row in rows if row["task"] == task]
        figures.curve(accuracy, chosen, "weight", "lpips_truth", label=task)
        figures.curve(fidelity, chosen, "weight", "lpips_observed", label=task)
        figures.curve(plausible, chosen, "weight", "realism", label=task)
        for place, row in zip(strip, chosen[:: len(setup.indices)], strict=True):
            figures.show(place, row["images"]["restored"], f"{row['weight']:g}", task if row["weight"] == 0 else "")
    lpips = setup.lpips_name
    labels = (f"{lpips} to the truth", f"{lpips} to the observation", "distance of w (1: as mapped)")
    for axes, label in zip((accuracy, fidelity, plausible), labels, strict=True):
        axes.set(xlabel="latent_dist_reg_weight", ylabel=label)
        axes.set_xscale("symlog", linthresh=0.1)
    accuracy.legend(fontsize=8)
    best = {task: _best(rows, task) for task in TASKS}
    text = (
        "From weight 0 to 10 the distance of w from the mean latent falls from "
        f"{figures.mean_of(rows, 'realism', 2, weight=0.0)} to {figures.mean_of(rows, 'realism', 2, weight=10.0)} "
        f"(1 for latents of the mapping network), and {lpips} to the observation rises from "
        f"{figures.mean_of(rows, 'lpips_observed', 3, weight=0.0)} to "
        f"{figures.mean_of(rows, 'lpips_observed', 3, weight=10.0)}. {lpips} to the truth is lowest at "
        + ", ".join(f"{weight:g} ({task})" for task, weight in best.items())
        + "."
    )
    return Findings(rows, figure, text)


def _best(rows: list[Row], task: str) -> float:
    def mean(weight: float) -> float:
        values = [row["lpips_truth"] for row in rows if (row["task"], row["weight"]) == (task, weight)]
        return sum(values) / len(values)

    return min(WEIGHTS, key=mean)
