"""Which settings restore best: loops of equally many steps, on faces that no other table uses."""

from __future__ import annotations

import dataclasses
import functools
import textwrap

import numpy as np

from experiments.measure.evaluation import Evaluator
from experiments.measure.statistics import bootstrap
from experiments.studies import figures
from experiments.studies.setup import Findings, Row, Setup
from jaxgan import images
from jaxgan.inversion_config import InversionConfig
from jaxgan.methods import Method
from jaxgan.tasks import Task

TASKS: tuple[Task, ...] = ("upsample", "denoise", "dejpeg")
PLAIN = "LPIPS"


def methods(task: Task, steps: int) -> dict[str, Method]:
    """The loops that are compared: that of LPIPS alone with one or two things changed, and robust with a prior.

    Args:
      task: whose defaults hold for the rest.
      steps: of each loop.
    """
    plain = dataclasses.replace(InversionConfig.for_task(task), steps=steps, objective="lpips")

    def changed(**changes: object) -> InversionConfig:
        return dataclasses.replace(plain, **changes)

    robust = Method.robust(steps)
    return {
        PLAIN: Method.of(plain),
        "prior 0.3": Method.of(changed(latent_dist_reg_weight=0.3)),
        "prior 3": Method.of(changed(latent_dist_reg_weight=3.0)),
        "prior 10": Method.of(changed(latent_dist_reg_weight=10.0)),
        "rate 0.05": Method.of(changed(learning_rate=0.05)),
        "W": Method.of(changed(latent_space="w")),
        "stored noise maps": Method.of(changed(noise="stored", noise_reg_weight=0.0)),
        "pyramid": Method.of(changed(objective="pyramid")),
        "half pyramid": Method.of(changed(objective="half_pyramid")),
        "pyramid, prior 3": Method.of(changed(objective="pyramid", latent_dist_reg_weight=3.0)),
        "then W++": Method((changed(steps=steps - steps // 3), _extended(plain, steps // 3))),
        "robust": robust,
        "robust, prior 1": Method(
            tuple(dataclasses.replace(phase, latent_dist_reg_weight=1.0) for phase in robust.phases)
        ),
    }


def _extended(plain: InversionConfig, steps: int) -> InversionConfig:
    """A last phase in which every channel of a layer has a latent of its own."""
    changes = {"steps": steps, "latent_space": "w_plus_plus", "learning_rate": 0.02, "rampup": 0.0, "start_samples": 0}
    return dataclasses.replace(plain, **changes)


def study(setup: Setup) -> Findings:
    """Restores every face from every damage with every loop; a row is a restoration."""
    evaluator = Evaluator(setup.generator, setup.lpips, setup.whitening, setup.faces, setup.batch_size, fidelity=0.0)
    rows: list[Row] = []
    for task in TASKS:
        for name, method in methods(task, setup.steps).items():
            rows += setup.kept.sweep(functools.partial(_run, setup, evaluator, task, name, method))
    names = list(dict.fromkeys(row["settings"] for row in rows))
    figure, panels, strips = figures.new(len(TASKS), len(TASKS), len(names) + 2)
    for index, (task, axes) in enumerate(zip(TASKS, panels, strict=True)):
        chosen = [row for row in rows if row["task"] == task]
        figures.points(axes, chosen, "settings", "lpips_truth")
        axes.set(title=task, ylabel="" if index else f"{setup.lpips_name} to the truth")
        axes.tick_params(axis="x", labelrotation=60, labelsize=7)
        first = {row["settings"]: row["pictures"] for row in chosen if row["image"] == setup.faces.names[0]}
        shown = {"truth": first[PLAIN]["truth"], "observed": first[PLAIN]["observed"]}
        shown |= {name: pictures["restoration"] for name, pictures in first.items()}
        for number, (place, (name, picture)) in enumerate(zip(strips[index], shown.items(), strict=True)):
            figures.show(place, picture, "" if index else textwrap.fill(name, 11), "" if number else task)
    return Findings(rows, figure, _table(setup, rows, names))


def _run(setup: Setup, evaluator: Evaluator, task: str, name: str, method: Method) -> list[Row]:
    setup.say(f"{task}, {name}: {len(setup.indices)} faces")
    kind = "robust" if name.startswith("robust") else "default"  # robust assumes degradations that draw anew
    rows, pictures = evaluator.evaluate(task, kind, method, [setup.seed])
    shown = ("truth", "observed", "restoration")
    return [
        row | {"settings": name, "pictures": dict(zip(shown, map(images.to_uint8, found[:3]), strict=True))}
        for row in rows
        if row["result"] == "restoration"
        for found in [pictures[row["image"], "restoration"]]
    ]


def _table(setup: Setup, rows: list[Row], names: list[str]) -> str:
    """LPIPS of each task and loop, with the paired difference to LPIPS alone, and the seconds of a face."""
    lines = [
        f"{len(setup.indices)} faces, {setup.steps} steps; {setup.lpips_name} of the restoration to the truth, and its "
        f"difference to that of {PLAIN} with the 95 % interval over faces; seconds of a face, compilation included.",
        "",
        "| settings | " + " | ".join(TASKS) + " | seconds |",
        "| --- " * (len(TASKS) + 2) + "|",
    ]
    values = {
        (task, name): np.array([row["lpips_truth"] for row in rows if (row["task"], row["settings"]) == (task, name)])
        for task in TASKS
        for name in names
    }
    for name in names:
        cells = [
            f"{values[task, name].mean():.3f}"
            + ("" if name == PLAIN else f" ({bootstrap(values[task, name] - values[task, PLAIN]).text(3)})")
            for task in TASKS
        ]
        seconds = np.mean([row["seconds"] for row in rows if row["settings"] == name])
        lines.append("| " + " | ".join([name, *cells, f"{seconds:.0f}"]) + " |")
    return "\n".join(lines)
