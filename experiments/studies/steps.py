"""Finding: more steps give less and less."""

from __future__ import annotations

from experiments.studies import figures
from experiments.studies.setup import Case, Findings, Row, Setup
from jaxgan.tasks import default_degradation

SHARES = (0.125, 0.25, 0.5, 1.0, 2.0)
TASKS = ("invert", "inpaint")


def study(setup: Setup) -> Findings:
    """Whole runs, each with its own schedule, of an eighth to twice the steps."""
    rows: list[Row] = []
    counts = [max(1, round(share * setup.steps)) for share in SHARES]
    for task in TASKS:
        degradations = [default_degradation(task, setup.generator.config.resolution, seed=i) for i in setup.indices]
        cases = [Case({"task": task}, i, degradations[i], degradations[i]) for i in setup.indices]
        for count in counts:
            rows += setup.invert(setup.config(task, steps=count), cases)
    figure, (accuracy, loss), strips = figures.new(2, len(TASKS), len(counts))
    for task, strip in zip(TASKS, strips, strict=True):
        chosen = [row for row in rows if row["task"] == task]
        figures.curve(accuracy, chosen, "steps", "lpips_truth", label=f"{task}, to the truth")
        figures.curve(accuracy, chosen, "steps", "lpips_observed", label=f"{task}, to the observation", marker="s")
        for row in chosen[:: len(setup.indices)]:
            loss.plot(row["losses"].perceptual, label=f"{task}, {row['steps']} steps", linewidth=1)
        for place, row in zip(strip, chosen[:: len(setup.indices)], strict=True):
            figures.show(place, row["images"]["restored"], f"{row['steps']} steps", task if place is strip[0] else "")
    accuracy.set(xlabel="steps of the run", ylabel=setup.lpips_name, xscale="log", yscale="log")
    loss.set(xlabel="step", ylabel="LPIPS to the observation (first face)", yscale="log")
    accuracy.legend(fontsize=7)
    loss.legend(fontsize=6)
    parts = []
    for task in TASKS:
        means = [figures.mean_of(rows, "lpips_truth", 3, task=task, steps=count) for count in counts]
        parts.append(f"{task}: " + ", ".join(f"{mean} after {n}" for mean, n in zip(means, counts, strict=True)))
    return Findings(rows, figure, "LPIPS to the truth, " + "; ".join(parts) + ".")
