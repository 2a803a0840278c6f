"""Finding: where restorations from several starts differ, they are wrong. How far that holds in holes."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.measure.damages import BOX
from experiments.measure.statistics import bootstrap
from experiments.runs import settings as run_settings
from experiments.runs import spread_picture
from experiments.studies import figures
from experiments.studies.setup import Findings, Row, Setup
from jaxgan import degradations, images, inversion, masks, metrics, restoration, uncertainty
from jaxgan.degradations import Mask
from jaxgan.optimization import Prior, make_prior

STARTS = 16
DAMAGES = ("strokes", "box")
SHOWN = ("truth", "observed", "best", "most different", "mean", "spread", "error")
FACTORS = {"strokes": 2.6, "box": 3.0}
"""What this study found on four development faces: so many times as wide, intervals held 80 % of the truth."""
BINS = 8
"""Groups of hole pixels, of growing spread, whose mean error the figure shows."""


def study(setup: Setup) -> Findings:
    """Restores each face from 16 starts; compares their spread with the error, pixel by pixel of the holes."""
    prior = make_prior(setup.generator, setup.config("inpaint"))
    rows: list[Row] = []
    for damage in DAMAGES:
        of_damage = [row for face in setup.indices for row in _face(setup, prior, damage, face)]
        wanted = _wanted_factor(of_damage)
        rows += [row | {"wanted_factor": wanted, "calibrated_coverage": _calibrated_coverage(row)} for row in of_damage]
    figure, (curves, ranks, covered), strips = figures.new(3, len(DAMAGES), len(SHOWN))
    for damage, strip in zip(DAMAGES, strips, strict=True):
        of_damage = [row for row in rows if row["damage"] == damage]
        curves.plot(*np.mean([_errors_by_spread(row) for row in of_damage], axis=0), marker="o", label=damage)
        for column, (name, picture) in enumerate(_pictures(of_damage[0]).items()):
            title = name if damage == DAMAGES[0] else ""
            figures.show(strip[column], picture, title, "" if column else damage)
    curves.axline((0, 0), slope=1, color="gray", linewidth=0.8)
    curves.set(xlabel="spread of the samples (levels of 255)", ylabel="mean error of the best (levels)")
    curves.legend(fontsize=8)
    for name, label, shift in (("correlation", "best sample", -0.05), ("correlation_of_mean", "mean", 0.05)):
        figures.points(ranks, rows, "damage", name, label=label, shift=shift)
    ranks.axhline(0.5, color="gray", linewidth=0.8)
    ranks.set(ylabel="rank correlation of spread and error", ylim=(0, 1))
    ranks.legend(fontsize=8)
    for name, label, shift in (("coverage", "as sampled", -0.05), ("calibrated_coverage", "calibrated", 0.05)):
        figures.points(covered, rows, "damage", name, label=label, shift=shift)
    covered.axhspan(0.6, 0.95, color="gray", alpha=0.15)
    covered.axhline(0.8, color="gray", linewidth=0.8)
    covered.set(ylabel="share of the truth in the interval", ylim=(0, 1))
    covered.legend(fontsize=8)
    return Findings(rows, figure, _table(setup, rows))


def _face(setup: Setup, prior: Prior, damage: str, face: int) -> list[Row]:
    """The only row of a face, kept once it is measured."""
    return setup.kept.sweep(lambda: [_measure(setup, prior, damage, face)])


def _measure(setup: Setup, prior: Prior, damage: str, face: int) -> Row:
    name, size = setup.faces.names[face], setup.generator.config.resolution
    setup.say(f"{damage}, {name}: {STARTS} inversions of {setup.steps} steps")
    mask = Mask(jnp.asarray(masks.strokes(face, size) if damage == "strokes" else masks.box(size, *BOX)))
    truth = setup.faces.faces[face]
    observed = images.to_float(images.to_uint8(np.asarray(degradations.observe(mask, jnp.asarray(truth)))))
    key = run_settings.key_for(setup.seed, Path(name))
    results = inversion.invert_batch(
        setup.generator,
        setup.lpips,
        np.repeat(observed[None], STARTS, 0),
        jax.tree.map(lambda leaf: jnp.repeat(leaf[None], STARTS, 0), mask),
        setup.config("inpaint"),
        uncertainty.start_keys(key, count=STARTS),
        prior=prior,
        offsets=uncertainty.spread_starts(setup.generator, prior.statistics.w_avg, key, count=STARTS),
        size=setup.batch_size,
    )
    again = [degradations.observe(mask, jnp.asarray(result.image)) for result in results]
    losses = [metrics.compare(setup.lpips, image, jnp.asarray(observed))["lpips"] for image in again]
    chosen = uncertainty.choose_samples(losses)
    samples = np.stack([restoration.restore(observed, mask, np.asarray(results[index].image)) for index in chosen])
    pictures = {"truth": truth, "observed": observed, "samples": samples}
    row: Row = {
        "damage": damage,
        "face": name,
        "steps": setup.steps,
        "starts": STARTS,
        "within_10_percent": uncertainty.count_near(losses),
        "images": {name: images.to_uint8(picture) for name, picture in pictures.items()} | {"mask": mask.mask},
    }
    return row | _judged(row) | _accuracy(setup, row)


def _judged(row: Row) -> Row:
    """How well the spread of the samples, in levels of 8 bits, foretells their error."""
    truth, samples, hole = _levels(row)
    found = uncertainty.measure_spread(samples)
    of_best, of_mean = (np.abs(image - truth).mean(-1)[hole] for image in (samples[0], found.mean))
    spread = found.spread[hole]
    return {
        "samples": len(samples),
        "mean_spread": float(spread.mean()),
        "mean_error": float(of_best.mean()),
        "correlation": uncertainty.rank_correlation(spread, of_best),
        "correlation_of_mean": uncertainty.rank_correlation(spread, of_mean),
        "coverage": uncertainty.coverage(truth[hole], found.low[hole], found.high[hole]),
    }


def _accuracy(setup: Setup, row: Row) -> Row:
    """LPIPS to the truth of the best sample and of the mean of all."""
    truth, samples, _ = (jnp.asarray(each) / 127.5 - 1 for each in _levels(row))
    pairs = {"lpips_truth": samples[0], "lpips_truth_of_mean": samples.mean(0)}
    return {name: metrics.compare(setup.lpips, image, truth)["lpips"] for name, image in pairs.items()}


def _wanted_factor(rows: list[Row]) -> float:
    """The factor on the samples' distances with which the intervals of these faces would hold 80 % of their truth."""
    parts = []
    for truth, samples, hole in map(_levels, rows):
        found = uncertainty.measure_spread(samples)
        parts.append([values[hole] for values in (truth, found.mean, found.low, found.high)])
    return uncertainty.calibration_factor(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _calibrated_coverage(row: Row) -> float:
    """The share of the truth in the intervals that `FACTORS` widens."""
    truth, samples, hole = _levels(row)
    low, high = uncertainty.stretch(uncertainty.measure_spread(samples), FACTORS[row["damage"]])
    return uncertainty.coverage(truth[hole], low[hole], high[hole])


def _levels(row: Row) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and samples in levels of 8 bits, and where the hole is."""
    pictures = row["images"]
    return pictures["truth"].astype(np.float64), pictures["samples"].astype(np.float64), pictures["mask"] <= 0.5


def _errors_by_spread(row: Row) -> np.ndarray:
    """Mean spread and mean error of the hole's pixels, in groups of growing spread: `[2, BINS]`."""
    truth, samples, hole = _levels(row)
    spread, error = uncertainty.measure_spread(samples).spread[hole], np.abs(samples[0] - truth).mean(-1)[hole]
    groups = np.array_split(np.argsort(spread), BINS)
    return np.array([[values[group].mean() for group in groups] for values in (spread, error)])


def _pictures(row: Row) -> dict[str, np.ndarray]:
    truth, samples, _ = _levels(row)
    found = uncertainty.measure_spread(samples)
    best, other = row["images"]["samples"][uncertainty.most_different(samples, count=2)]
    error = np.abs(samples[0] - truth).mean(-1)
    shown = (
        *(row["images"]["truth"], row["images"]["observed"], best, other, np.rint(found.mean).astype(np.uint8)),
        *(spread_picture.coloured(best, each) for each in (found.spread, error)),
    )
    return dict(zip(SHOWN, shown, strict=True))


def _table(setup: Setup, rows: list[Row]) -> str:
    """A row for each damage: means over faces with their 95 % intervals."""
    columns = {
        "rank correlation with the error of the best": ("correlation", 2),
        "of the mean": ("correlation_of_mean", 2),
        "coverage": ("coverage", 2),
        "calibrated": ("calibrated_coverage", 2),
        "wanted factor": ("wanted_factor", 1),
        "spread": ("mean_spread", 1),
        "error of the best": ("mean_error", 1),
        f"{setup.lpips_name} of the best": ("lpips_truth", 3),
        "of the mean ": ("lpips_truth_of_mean", 3),
        "starts within 10 %": ("within_10_percent", 1),
    }
    lines = [
        f"{len(setup.indices)} faces, {STARTS} starts of {setup.steps} steps; over hole pixels, in levels of 255. "
        f"Calibrated by the factors {FACTORS} of development faces; these faces would want their own.",
        "",
        "| damage | " + " | ".join(name.strip() for name in columns) + " |",
        "| --- " * (len(columns) + 1) + "|",
    ]
    for damage in DAMAGES:
        cells = []
        for name, digits in columns.values():
            values = np.array([row[name] for row in rows if row["damage"] == damage])
            cells.append(bootstrap(values).text(digits))
        lines.append("| " + " | ".join([damage, *cells]) + " |")
    return "\n".join(lines)
