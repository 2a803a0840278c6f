"""Finding: unknown parameters of a damage are told from the observation, and restored as well as known ones."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from experiments.measure import observation
from experiments.runs import settings as run_settings
from experiments.studies import figures
from experiments.studies.setup import Findings, Row, Setup
from jaxgan import blind, images, inversion, metrics, optimization, parameters, restoration
from jaxgan.degradations import Degradation
from jaxgan.parameters import Parameter
from jaxgan.truths import Compression, Exactly, PoissonNoise, Reduction, Truth

ANGLE = 30.0
"""The direction of the motions, in degrees; it is known."""

IN_PER_CENT = ("sigma", "length", "photons")
"""Errors of these are relative; those of the others are in their own units."""


class Damage(NamedTuple):
    """A damage of the study.

    Attributes:
      task: decides the settings of the inversion.
      truth: what happens to a face.
      values: the parameters that are estimated, and their true values.
    """

    task: str
    truth: Truth
    values: dict[Parameter, float]


def damages(size: int) -> dict[str, Damage]:
    """Every parameter at two strengths; widths and lengths are pixels at 128."""
    scale, found = size / 128, {}
    for sigma in (2.0, 4.0):
        blur = parameters.with_parameters(parameters.widest_blur(size), {"sigma": sigma * scale})
        found[f"sigma {sigma:g}"] = Damage("deblur", Exactly(blur), {"sigma": sigma * scale})
    for length in (6.0, 16.0):
        motion = parameters.with_parameters(parameters.longest_motion(size, ANGLE), {"length": length * scale})
        found[f"length {length:g}"] = Damage("deblur", Exactly(motion), {"length": length * scale})
    for photons, drop in ((96.0, 0.04), (24.0, 0.16)):
        noise = PoissonNoise(photons, drop)
        found[f"photons {photons:g}"] = Damage("denoise", noise, {"photons": photons, "drop": drop})
    for quality in (40, 12):
        found[f"quality {quality}"] = Damage("dejpeg", Compression(quality), {"quality": quality})
    for factor in (2, 4):
        found[f"factor {factor}"] = Damage("upsample", Reduction(factor), {"factor": factor})
    return found


def study(setup: Setup) -> Findings:
    """Estimates the parameters of every damage of every face, and restores with the true and the estimated ones."""
    every = damages(setup.generator.config.resolution)
    rows: list[Row] = []
    for name, damage in every.items():
        rows += setup.kept.sweep(lambda name=name, damage=damage: _measure(setup, name, damage))
    figure, (errors, distances), strips = figures.new(2, 4, len(every))
    of_estimates = [row for row in rows if row["assumed"] == "estimated"]
    figures.points(errors, of_estimates, "damage", "ratio")
    errors.axhline(1, color="black", linewidth=0.8)
    errors.set_ylabel("estimate / truth")
    for shift, assumed in ((-0.12, "true"), (0.12, "estimated")):
        chosen = [row for row in rows if row["assumed"] == assumed]
        figures.points(distances, chosen, "damage", "lpips_truth", label=assumed, shift=shift)
    distances.set_ylabel(f"{setup.lpips_name} to the truth")
    distances.legend(title="parameters", fontsize=7)
    for axes in (errors, distances):
        axes.tick_params(axis="x", labelsize=7, rotation=45)
    first = setup.faces.names[0]
    for column, name in enumerate(every):
        shown = {row["assumed"]: row["images"] for row in rows if (row["damage"], row["face"]) == (name, first)}
        pictures = {"truth": shown["true"]["truth"], "observed": shown["true"]["observed"]}
        pictures |= {f"with {assumed}": shown[assumed]["restored"] for assumed in ("true", "estimated")}
        for strip, (label, picture) in zip(strips, pictures.items(), strict=True):
            figures.show(strip[column], picture, name if label == "truth" else "", "" if column else label)
    return Findings(rows, figure, _table(setup, rows, every))


def _measure(setup: Setup, name: str, damage: Damage) -> list[Row]:
    """Two rows for each face: with the true parameters, and with the estimated ones."""
    size, unknown = setup.generator.config.resolution, tuple(damage.values)
    paths = [Path(face) for face in setup.faces.names]
    chains = [[damage.truth]] * len(paths)
    observed, true = observation.damage(chains, setup.faces.faces, [run_settings.seed_of(path) for path in paths])
    config = setup.config(damage.task)
    prior = optimization.make_prior(setup.generator, config)
    setup.say(f"{name}: {len(paths)} faces")
    estimates = []
    for picture, degradation in zip(observed, true, strict=True):
        nothing = parameters.with_parameters(degradation, parameters.guess(degradation, unknown, size))
        estimates.append(blind.estimate_parameters(setup.generator, picture, nothing, unknown, samples=prior.samples))
    estimated = [
        parameters.with_parameters(degradation, {key: one.value for key, one in found.items()})
        for degradation, found in zip(true, estimates, strict=True)
    ]
    both: list[Degradation] = [*true, *estimated]
    keys = [run_settings.key_for(setup.seed, path) for path in paths]
    results = inversion.invert_batch(
        setup.generator,
        setup.lpips,
        jnp.concatenate([observed, observed]),
        observation.stack(both),
        config,
        jnp.stack(keys * 2),
        prior=prior,
        size=min(setup.batch_size, len(both)),
    )
    rows = []
    for index, (degradation, result) in enumerate(zip(both, results, strict=True)):
        face = index % len(paths)
        restored = restoration.restore(observed[face], degradation, result.image)
        values = metrics.compare(setup.lpips, restored, setup.faces.faces[face])
        row: Row = {"damage": name, "face": setup.faces.names[face], "steps": config.steps}
        row |= {"assumed": "true" if index < len(paths) else "estimated", "lpips_size": values.pop("lpips_size")}
        row |= {f"{metric}_truth": value for metric, value in values.items()}
        for key, truth in damage.values.items():
            one = estimates[face][key]
            row |= {key: one.value, f"{key}_low": one.spread[0], f"{key}_high": one.spread[1]}
            row |= {f"{key}_truth": truth, f"{key}_flat": int(one.flat)}
        row["ratio"] = estimates[face][unknown[0]].value / damage.values[unknown[0]]
        pictures = {"truth": setup.faces.faces[face], "observed": observed[face], "restored": restored}
        row["images"] = {label: images.to_uint8(np.asarray(picture)) for label, picture in pictures.items()}
        rows.append(row)
    return rows


def _table(setup: Setup, rows: list[Row], every: dict[str, Damage]) -> str:
    """The median error of each parameter, and the mean LPIPS of both restorations."""
    header = ("damage", "parameter", "median error", "flat", "LPIPS, true", "LPIPS, estimated", "ratio")
    lines = [
        f"{len(setup.indices)} faces, {setup.steps} steps; {setup.lpips_name} of the restoration to the truth; errors "
        f"of {', '.join(IN_PER_CENT)} are relative, those of the others absolute.",
        "",
        "| " + " | ".join(header) + " |",
        "| --- " * len(header) + "|",
    ]
    for name, damage in every.items():
        of_damage = [row for row in rows if row["damage"] == name]
        means = [
            np.mean([row["lpips_truth"] for row in of_damage if row["assumed"] == assumed])
            for assumed in ("true", "estimated")
        ]
        chosen = [row for row in of_damage if row["assumed"] == "estimated"]
        for key, truth in damage.values.items():
            error = np.median([abs(row[key] - truth) for row in chosen])
            text = f"{100 * error / truth:.1f} %" if key in IN_PER_CENT else f"{error:.3g}"
            flat = f"{sum(row[f'{key}_flat'] for row in chosen)} of {len(chosen)}"
            cells = [name, key, text, flat, f"{means[0]:.3f}", f"{means[1]:.3f}", f"{means[1] / means[0]:.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
