"""Pictures, curves, tables and numbers that a finished run leaves to look at."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.runs import pictures
from experiments.runs.folder import RunFolder
from jaxgan import checkpoints, files, images, objectives, tuning_files
from jaxgan.inversion import InversionResult
from jaxgan.inversion_config import InversionConfig
from jaxgan.latents import Latents, NoiseMaps
from jaxgan.lpips import LPIPS
from jaxgan.methods import Method
from jaxgan.metrics import lpips_name, measure
from jaxgan.optimization import LossTerms
from jaxgan.photos import photo_files
from jaxgan.tuning import TuningResult
from jaxgan.tuning_steps import TuningTerms

RESULTS = ("tuned_restoration", "tuned_reconstruction", "restoration", "reconstruction")
"""A result's picture, and its metrics in config.json, have this name; the first of a run is what it was made for."""

TILE = 256
"""Smallest side of a picture in a panel or animation; smaller images are enlarged."""


class Phase(NamedTuple):
    """The result of a phase before the last one.

    Attributes:
      latents: the latents.
      image: the generator's image of them, `[H, W, 3]`.
      degraded_again: that image after the assumed degradation.
    """

    latents: Latents
    image: jax.Array
    degraded_again: jax.Array


class Restoration(NamedTuple):
    """What was observed, completed by the reconstruction.

    Attributes:
      image: `[H, W, 3]`.
      degraded_again: the image after the assumed degradation.
      inverse: the name of the degradation's inverse; None if it has none, and the image is the reconstruction.
      noise: standard deviation that it was told of, in 8-bit levels.
    """

    image: jax.Array
    degraded_again: jax.Array
    inverse: str | None
    noise: float


class Tuned(NamedTuple):
    """The result of a tuning.

    Attributes:
      result: the tuned network, its image of the inversion's latents and its losses.
      degraded_again: that image after the assumed degradation.
      restoration: what was observed, completed by that image; None where nothing was missing.
    """

    result: TuningResult
    degraded_again: jax.Array
    restoration: Restoration | None


def write(
    run: RunFolder,
    *,
    truth: jax.Array | None,
    observed: jax.Array,
    result: InversionResult,
    degraded_again: jax.Array,
    restoration: Restoration | None,
    lpips: LPIPS,
    method: Method,
    earlier: Sequence[Phase] = (),
    tuned: Tuned | None = None,
) -> dict[str, Any]:
    """Writes every output of a finished inversion but config.json.

    Args:
      run: the folder.
      truth: the aligned photograph, None if it was damaged already.
      observed: what was observed of it.
      result: of the inversion.
      degraded_again: the reconstruction after the assumed degradation, to be compared with `observed`.
      restoration: None where nothing was missing.
      lpips: for the metrics.
      method: the settings, for the weights of the loss terms.
      earlier: the results of the phases before the last one.
      tuned: the result of the tuning that followed; None for none.
    Returns:
      The metrics and facts that belong into config.json.
    """
    folder = run.path
    measured: dict[str, Any] = {"reconstruction": _measured(lpips, truth, observed, result.image, degraded_again)}
    images.write_png(folder / "observed.png", np.asarray(observed))
    alpha = None if result.alpha is None else np.asarray(result.alpha)
    images.write_png(folder / "reconstruction.png", np.asarray(result.image), alpha=alpha)
    tiles = [("observed", observed), (_label("reconstruction", measured), result.image)]
    if truth is not None:
        images.write_png(folder / "truth.png", np.asarray(truth))
    if tuned is not None:
        image, again = tuned.result.image, tuned.degraded_again
        images.write_png(folder / "tuned_reconstruction.png", np.asarray(image))
        measured["tuned_reconstruction"] = _measured(lpips, truth, observed, image, again)
        tiles.append((_label("tuned_reconstruction", measured), image))
    completed = {"restoration": restoration, "tuned_restoration": None if tuned is None else tuned.restoration}
    for name, one in completed.items():
        if one is not None:
            images.write_png(folder / f"{name}.png", np.asarray(one.image))
            compared = _measured(lpips, truth, observed, one.image, one.degraded_again)
            measured[name] = {"inverse": one.inverse, "noise": one.noise, **compared}
            tiles.append((_label(name, measured), one.image))
    if truth is not None and (restoration is not None or tuned is not None):
        tiles.append(("truth", truth))
    images.write_png(folder / "panel.png", panel(tiles))
    frames = [photo_files.read_photo(path) for path in run.snapshots()] + [images.to_uint8(np.asarray(result.image))]
    images.write_gif(folder / "progress.gif", [pictures.enlarged(frame, TILE) for frame in frames])
    write_losses(folder / "losses.csv", result.losses, method)
    size = _compared_side(method.last, result.image.shape[0])
    name = objective_name(method.last, result.image.shape[0])
    plot_losses(folder / "loss.png", result.losses, method, name=name, returned_step=result.returned_step)
    _write_npz(folder / "latents.npz", np.asarray(result.ws), result.noise)
    phases = {}
    for number, (phase, config) in enumerate(zip(earlier, method.phases, strict=False), start=1):
        (folder / "phases").mkdir(exist_ok=True)
        path = folder / "phases" / f"{number}-{config.latent_space}"
        images.write_png(path.with_suffix(".png"), np.asarray(phase.image))
        _write_npz(path.with_suffix(".npz"), np.asarray(phase.latents.w), phase.latents.noise)
        phases[path.name] = _measured(lpips, truth, observed, phase.image, phase.degraded_again)
    return {
        "returned_step": result.returned_step,
        "loss": float(np.min(result.losses.total)),
        "loss_lpips_size": size,
        **measured,
        **({"phases": phases} if phases else {}),
        **({"tuning": _write_tuned(folder, tuned.result)} if tuned is not None else {}),
    }


def _write_tuned(folder: Path, result: TuningResult) -> dict[str, Any]:
    """Writes the tuned network and its losses; returns facts of the tuning."""
    terms = jax.tree.map(np.asarray, result.losses)
    with files.replacing(folder / "tuning.csv") as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *TuningTerms._fields])
        writer.writerows(
            [step, *(f"{value:.9g}" for value in row)] for step, row in enumerate(zip(*terms, strict=True))
        )
    network = folder / "tuned_network"
    shutil.rmtree(network, ignore_errors=True)  # of a run that was killed in its report
    pivot = {"latents": "../latents.npz", "sha256": checkpoints.sha256(folder / "latents.npz")}
    tuning_files.save_tuned(network, result.generator, pivot)
    return {"steps": len(terms.total), "first_lpips": float(terms.perceptual[0]), "lpips": float(terms.perceptual[-1])}


def summary(folder: Path, metrics: dict[str, Any]) -> str:
    """The pictures and the metrics of a run in one line."""
    parts = []
    for name in [name for name in RESULTS if name in metrics]:
        pairs = {words: metrics[name].get(f"against_{words}") for words in ("truth", "observed")}
        told = [f"against {words}: {numbers(measured)}" for words, measured in pairs.items() if measured is not None]
        parts.append(f"{name}.png: {', '.join(told)}")
    return f"{folder}/{'; '.join(parts)} (found in step {metrics['returned_step']})"


def panel(tiles: Sequence[tuple[str, jax.Array | np.ndarray]]) -> np.ndarray:
    """Labelled pictures side by side, enlarged if they are small.

    Args:
      tiles: label (of up to two lines) and image `[H, W, 3]`, uint8 or floating-point values in [-1, 1], of each.
    Returns:
      uint8 picture.
    """
    arrays = [np.asarray(image) for _, image in tiles]
    small = [image if image.dtype == np.uint8 else images.to_uint8(image) for image in arrays]
    labelled = zip((label.strip() for label, _ in tiles), small, strict=True)
    tall = [(label, pictures.enlarged(picture, TILE)) for label, picture in labelled]
    return pictures.sheet(tall, columns=len(tiles), bar=44)


def numbers(measured: dict[str, Any] | None) -> str:
    """The metrics of a pair of pictures in a few words; none for no pair."""
    if measured is None:
        return ""
    if measured["psnr"] is None or math.isinf(measured["psnr"]):
        return "equal"
    return f"{measured['psnr']:.1f} dB, {lpips_name(measured['lpips_size'])} {measured['lpips']:.3f}"


def _measured(
    lpips: LPIPS, truth: jax.Array | None, observed: jax.Array, image: jax.Array, degraded_again: jax.Array
) -> dict[str, dict[str, Any]]:
    """The metrics of a result; the PSNR of equal pictures is None, as JSON has no infinity."""
    pairs = measure(lpips, truth=truth, observed=observed, reconstruction=image, degraded_again=degraded_again)
    return {name: pair | ({"psnr": None} if math.isinf(pair["psnr"]) else {}) for name, pair in pairs.items()}


def _label(name: str, measured: dict[str, dict[str, Any]]) -> str:
    return f"{name.replace('_', ' ')}\n{numbers(measured[name].get('against_truth'))}"


def objective_name(config: InversionConfig, resolution: int) -> str:
    """Names the distance by which the phase of an inversion compares images of a resolution."""
    size = _compared_side(config, resolution)
    return lpips_name(size) if config.objective == "lpips" else f"LPIPS pyramid from {size} px"


def _compared_side(config: InversionConfig, resolution: int) -> int:
    return objectives.compared_side(config.objective, resolution, config.feature_size)


def weighted_terms(losses: LossTerms, method: Method, name: str) -> dict[str, np.ndarray]:
    """The terms times their weights, which sum to the total; `name` is that of the objective."""
    steps = len(losses.total)
    return {
        "total": np.asarray(losses.total),
        name: np.asarray(losses.perceptual),
        "noise regulariser": method.per_step("noise_reg_weight")[:steps] * np.asarray(losses.noise_regularizer),
        "latent distance": method.per_step("latent_dist_reg_weight")[:steps] * np.asarray(losses.latent_distance),
    }


def write_losses(path: Path, losses: LossTerms, method: Method) -> None:
    """A row per step: the terms before their weights, and the learning rate."""
    of_phases = [jax.vmap(phase.numbers().learning_rate_at)(jnp.arange(phase.steps)) for phase in method.phases]
    rates = np.concatenate(of_phases)[: len(losses.total)]
    with files.replacing(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *LossTerms._fields, "learning_rate"])
        for step, row in enumerate(zip(*losses, rates, strict=True)):
            writer.writerow([step, *(f"{value:.9g}" for value in row)])


def plot_losses(path: Path, losses: LossTerms, method: Method, *, name: str, returned_step: int) -> None:
    """Every loss term over the steps, as it enters the total; `name` is that of the objective."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for term, values in weighted_terms(losses, method, name).items():
        if values.any():
            axes.plot(values, label=term, linewidth=2 if term == "total" else 1.2)
    for phase in range(1, len(method.phases)):
        axes.axvline(method.first_step(phase), color="gray", linewidth=0.8)
    axes.axvline(returned_step, color="gray", linestyle=":", label=f"returned (step {returned_step})")
    positive = np.asarray(losses.perceptual)
    axes.set(xlabel="step", ylabel="loss (weighted)", yscale="log", ylim=(max(positive.min() / 300, 1e-6), None))
    axes.grid(alpha=0.3)
    axes.legend()
    with files.replacing(path) as partial, open(partial, "wb") as file:
        FigureCanvasAgg(figure).print_png(file)


def _write_npz(path: Path, ws: np.ndarray, noise: NoiseMaps) -> None:
    """`ws` and `noise_0`, `noise_1`, ... (coarse to fine); of W+ also `w`, what projectors write: a batch of one."""
    of_projectors = {"w": ws[None]} if ws.ndim == 2 else {}  # which know no W++
    maps = {f"noise_{index}": np.asarray(map_) for index, map_ in enumerate(noise)}
    with files.replacing(path) as partial, open(partial, "wb") as file:
        np.savez(file, ws=ws, **of_projectors, **maps)
