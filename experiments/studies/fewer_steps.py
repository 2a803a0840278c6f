"""Which loop needs the fewest steps: what was tried, on faces that no other table uses."""

from __future__ import annotations

import colorsys
import dataclasses
import functools
import textwrap
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.measure.statistics import bootstrap
from experiments.runs import settings as run_settings
from experiments.studies import figures
from experiments.studies.recipes import RECIPES, REFERENCE, Recipe, run_recipe
from experiments.studies.setup import Findings, Row, Setup
from jaxgan import images, optimization
from jaxgan.degradations import Identity
from jaxgan.metrics import lpips_name
from jaxgan.objectives import compared_side

LPIPS_TICKS = (0.02, 0.03, 0.05, 0.1, 0.2, 0.4)


def study(setup: Setup) -> Findings:
    """Runs every recipe on every face for `invert`: LPIPS against steps and against seconds."""
    rows: list[Row] = []
    last = RECIPES[-1].config()
    lpips = lpips_name(compared_side(last.objective, setup.generator.config.resolution, last.feature_size))
    recipes = (dataclasses.replace(REFERENCE, steps=5 * setup.steps), *RECIPES)
    for recipe in recipes:
        steps = recipe.steps or setup.steps
        rows += setup.kept.sweep(functools.partial(_run, setup, dataclasses.replace(recipe, steps=steps)))
    figure, (by_steps, by_seconds, final), strips = figures.new(3, 1, 8)
    target = np.mean([row["lpips_observed"] for row in rows if row["recipe"] == REFERENCE.name])
    for index, recipe in enumerate(recipes):
        chosen = [row for row in rows if row["recipe"] == recipe.name]
        curves = np.stack([row["curve"] for row in chosen])
        steps = np.arange(curves.shape[1])
        style = {"color": _colour(index, len(recipes)), "linewidth": 2 if index in (0, len(recipes) - 1) else 0.9}
        by_steps.plot(steps, curves.mean(0), **style)
        if index in (0, len(recipes) - 1):
            spread = np.array([bootstrap(column)[1:] for column in curves[:, 1::10].T])
            by_steps.fill_between(steps[1::10], spread[:, 0], spread[:, 1], color=style["color"], alpha=0.15)
        seconds = chosen[0]["start_seconds"] + steps * chosen[0]["step_seconds"]
        by_seconds.plot(seconds, curves.mean(0), **style)
        mean = bootstrap(np.array([row["lpips_observed"] for row in chosen]))
        final.errorbar(mean.mean, -index, xerr=[[mean.mean - mean.low], [mean.high - mean.mean]], fmt="o", **style)
    for axes, label in ((by_steps, "step"), (by_seconds, "seconds per image")):
        axes.axhline(target, color="gray", linewidth=0.8)
        axes.set(xlabel=label, ylabel=lpips, yscale="log", xscale="log")
        axes.set_yticks(LPIPS_TICKS, map(str, LPIPS_TICKS))
        axes.set_yticks([], minor=True)
    by_steps.set_xlim(1, None)
    final.set(xlabel=f"{lpips} of the result", yticks=-np.arange(len(recipes)))
    final.set_yticklabels([recipe.name for recipe in recipes], fontsize=7)
    for index, label in enumerate(final.get_yticklabels()):
        label.set_color(_colour(index, len(recipes)))
    names = (REFERENCE.name, RECIPES[0].name, RECIPES[-1].name)
    for number, (first, *others) in enumerate((strips[0][:4], strips[0][4:])):
        for place, name in zip(others, names, strict=True):
            chosen = [row for row in rows if row["recipe"] == name]
            row = chosen[min(number, len(chosen) - 1)]
            figures.show(place, row["images"]["restored"], textwrap.fill(name, 20))
        figures.show(first, row["images"]["truth"], "truth")
    parts = [f"{recipe.name}: {figures.mean_of(rows, 'lpips_observed', 3, recipe=recipe.name)}" for recipe in recipes]
    default = np.stack([row["curve"] for row in rows if row["recipe"] == RECIPES[-1].name]).mean(0)
    reached = np.flatnonzero(default <= target)
    when = f"in step {reached[0]}" if len(reached) else "not"
    text = (
        f"{lpips} to the observation after {setup.steps} steps ({5 * setup.steps} for the first): "
        + "; ".join(parts)
        + f". The last recipe reaches the result of the first {when}."
    )
    return Findings(rows, figure, text)


def _colour(index: int, count: int) -> tuple[float, float, float]:
    """Of a recipe in all plots: black for the one to reach, red for the default, orange to violet for the others."""
    if index == 0:
        return 0.0, 0.0, 0.0
    return colorsys.hsv_to_rgb(0.0 if index == count - 1 else 0.08 + 0.77 * index / count, 1.0, 0.85)


def _run(setup: Setup, recipe: Recipe) -> list[Row]:
    setup.say(f"{recipe.name}: {recipe.steps} steps")
    truths = [jnp.asarray(face) for face in setup.faces.faces]
    config = recipe.config()
    start = time.perf_counter()
    prior = optimization.make_prior(setup.generator, config)
    problems = [
        optimization.make_problem(setup.generator, setup.lpips, truth, Identity(), config, prior=prior)
        for truth in truths
    ]
    jax.block_until_ready(problems)
    start_seconds = (time.perf_counter() - start) / len(truths)
    keys = [run_settings.key_for(setup.seed, Path(name)) for name in setup.faces.names]
    rows = []
    restored, curves, step_seconds = run_recipe(setup.generator, setup.lpips, recipe, problems, jnp.stack(truths), keys)
    for name, truth, image, curve in zip(setup.faces.names, truths, restored, curves, strict=True):
        row = {"recipe": recipe.name, "face": name, "steps": recipe.steps, "lpips_observed": float(curve[-1])}
        row |= {"start_seconds": start_seconds, "step_seconds": step_seconds, "curve": curve}
        row["images"] = {"truth": images.to_uint8(np.asarray(truth)), "restored": images.to_uint8(image)}
        rows.append(row)
    return rows
