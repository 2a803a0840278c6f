"""Shows the way between two faces: latents, noise maps and the weights of tuned networks, moved together.

References:
  Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images", 2021, arXiv 2106.05744 (Fig. 9).
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.runs import settings as run_settings
from experiments.studies import figures
from experiments.studies.setup import Findings, Row, Setup
from jaxgan import images, inversion, metrics, tuning
from jaxgan.degradations import Identity
from jaxgan.errors import UserError
from jaxgan.generator import as_rgb
from jaxgan.tuning import Pivot, TuningConfig

PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The figure shows these shares of the second face."""
STEPS_PER_STEP = 350 / 150
"""The tuning has so many steps for each step of the inversion, which are the paper's 350 for the default 150."""


def study(setup: Setup) -> Findings:
    """Moves from the first face to the second, before and after tuning.

    Raises:
      UserError: there are fewer.
    """
    if len(setup.indices) < 2:
        raise UserError(
            f"this study goes from one face to another; expected 2 images or more, got {len(setup.indices)}."
        )
    rows = setup.kept.sweep(lambda: _rows(setup))
    figure, (panel,), strips = figures.new(1, 2, len(PLACES) + 2)
    for strip, network in zip(strips, ("untuned", "tuned"), strict=True):
        chosen = [row for row in rows if row["network"] == network]
        for face, style in (("first", "-"), ("second", "--")):
            values = [row[f"lpips_{face}"] for row in chosen]
            panel.plot(PLACES, values, style, marker="o", markersize=4, label=f"{network}, to the {face} face")
        ends = [chosen[0]["images"][face] for face in ("first", "second")]
        figures.show(strip[0], ends[0], "first face", network)
        figures.show(strip[-1], ends[1], "second face")
        for place, row in zip(strip[1:-1], chosen, strict=True):
            figures.show(place, row["images"]["between"], f"{row['share']:g}")
    panel.set(xlabel="share of the second face", ylabel=setup.lpips_name)
    panel.legend(fontsize=8)
    parts = [
        f"{network}: {_at(rows, network, 0.0):.3f} at the first face, {_at(rows, network, 1.0):.3f} at the second, "
        f"{_at(rows, network, 0.5):.3f} half-way"
        for network in ("untuned", "tuned")
    ]
    return Findings(rows, figure, f"{setup.lpips_name} to the nearer of two faces, {'; '.join(parts)}.")


def _at(rows: list[Row], network: str, share: float) -> float:
    return next(row["lpips_truth"] for row in rows if (row["network"], row["share"]) == (network, share))


def _rows(setup: Setup) -> list[Row]:
    """Inverts and tunes both faces; a row for each place between them and each kind of network."""
    generator, lpips = setup.generator, setup.lpips
    truths = jnp.asarray(setup.faces.faces[:2])
    keys = jnp.stack([run_settings.key_for(setup.seed, Path(name)) for name in setup.faces.names[:2]])
    config = setup.config("invert")
    setup.say(f"2 inversions of {config.steps} steps")
    results = inversion.invert_batch(generator, lpips, truths, Identity(), config, keys)
    pivots = [Pivot(result.ws, result.noise) for result in results]
    of_tuning = TuningConfig(steps=round(STEPS_PER_STEP * config.steps))
    setup.say(f"2 tunings of up to {of_tuning.steps} steps")
    tuned = tuning.tune_batch(generator, lpips, truths, Identity(), pivots, of_tuning, keys)
    rows: list[Row] = []
    for name, networks in (("untuned", [generator, generator]), ("tuned", [result.generator for result in tuned])):
        for share in PLACES:
            network, pivot = tuning.interpolate(networks, pivots, share)
            image = _render(network, pivot)
            distances = [metrics.compare(lpips, image, truth)["lpips"] for truth in truths]
            row = {"network": name, "share": share, "lpips_first": distances[0], "lpips_second": distances[1]}
            pictures = {"between": image, "first": truths[0], "second": truths[1]}
            row["images"] = {key: images.to_uint8(np.asarray(picture)) for key, picture in pictures.items()}
            rows.append({**row, "lpips_truth": min(distances)})
    return rows


@jax.jit
def _render(generator, pivot: Pivot) -> jax.Array:
    return as_rgb(generator.synthesis(pivot.ws, pivot.noise))
