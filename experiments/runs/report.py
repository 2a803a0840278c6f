"""Pictures, curves, tables and numbers that a finished run leaves to look at."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.runs import pictures
from experiments.runs.folder import RunFolder
from jaxgan import files, images
from jaxgan.inversion import InversionResult
from jaxgan.inversion_config import InversionConfig
from jaxgan.lpips import LPIPS
from jaxgan.metrics import lpips_name, measure
from jaxgan.optimization import LossTerms, lpips_size
from jaxgan.photos import photo_files

TILE = 256
"""Smallest side of a picture in a panel or animation; smaller images are enlarged."""


def write(
    run: RunFolder,
    *,
    truth: jax.Array | None,
    observed: jax.Array,
    result: InversionResult,
    degraded_again: jax.Array,
    lpips: LPIPS,
    config: InversionConfig,
) -> dict[str, Any]:
    """Writes every output of a finished inversion but config.json.

    Args:
      run: the folder.
      truth: the aligned photograph, None if it was damaged already.
      observed: what was observed of it.
      result: of the inversion.
      degraded_again: the reconstruction after the assumed degradation, to be compared with `observed`.
      lpips: for the metrics.
      config: the settings, for the weights of the loss terms.
    Returns:
      The metrics and facts that belong into config.json.
    """
    folder = run.path
    measured = measure(
        lpips, truth=truth, observed=observed, reconstruction=result.image, degraded_again=degraded_again
    )
    if truth is not None:
        images.write_png(folder / "truth.png", np.asarray(truth))
    images.write_png(folder / "observed.png", np.asarray(observed))
    images.write_png(folder / "reconstruction.png", np.asarray(result.image))
    tiles = [] if truth is None else [("truth", truth)]
    tiles += [
        ("observed", observed),
        ("reconstruction\n" + numbers(measured.get("against_truth")), result.image),
        ("reconstruction degraded\n" + numbers(measured["against_observed"]), degraded_again),
    ]
    images.write_png(folder / "panel.png", panel(tiles))
    frames = [photo_files.read_photo(path) for path in run.snapshots()] + [images.to_uint8(np.asarray(result.image))]
    images.write_gif(folder / "progress.gif", [pictures.enlarged(frame, TILE) for frame in frames])
    write_losses(folder / "losses.csv", result.losses, config)
    size = lpips_size(result.image.shape[0], config.feature_size)
    plot_losses(folder / "loss.png", result.losses, config, size=size, returned_step=result.returned_step)
    _write_npz(folder / "latents.npz", result)
    return {
        "returned_step": result.returned_step,
        "loss": float(np.min(result.losses.total)),
        "loss_lpips_size": size,
        **measured,
    }


def summary(metrics: dict[str, Any]) -> str:
    """The metrics in one line."""
    parts = [f"{k.replace('_', ' ')}: {numbers(v)}" for k, v in metrics.items() if isinstance(v, dict)]
    return "; ".join(parts) + f" (step {metrics['returned_step']})"


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


def numbers(measured: dict[str, float] | None) -> str:
    """The metrics of a pair of pictures in a few words; none for no pair."""
    if measured is None:
        return ""
    return f"{measured['psnr']:.1f} dB, {lpips_name(measured['lpips_size'])} {measured['lpips']:.3f}"


def weighted_terms(losses: LossTerms, config: InversionConfig, size: int) -> dict[str, np.ndarray]:
    """The terms times their weights, which sum to the total; `size` is the side of the pictures that LPIPS compares."""
    return {
        "total": np.asarray(losses.total),
        lpips_name(size): np.asarray(losses.perceptual),
        "noise regulariser": config.noise_reg_weight * np.asarray(losses.noise_regularizer),
        "latent distance": config.latent_dist_reg_weight * np.asarray(losses.latent_distance),
    }


def write_losses(path: Path, losses: LossTerms, config: InversionConfig) -> None:
    """A row per step: the terms before their weights, and the learning rate."""
    rates = np.asarray(jax.vmap(config.numbers().learning_rate_at)(jnp.arange(len(losses.total))))
    with files.replacing(path) as partial, open(partial, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *LossTerms._fields, "learning_rate"])
        for step, row in enumerate(zip(*losses, rates, strict=True)):
            writer.writerow([step, *(f"{value:.9g}" for value in row)])


def plot_losses(path: Path, losses: LossTerms, config: InversionConfig, *, size: int, returned_step: int) -> None:
    """Every loss term over the steps, as it enters the total."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, values in weighted_terms(losses, config, size).items():
        if values.any():
            axes.plot(values, label=name, linewidth=2 if name == "total" else 1.2)
    axes.axvline(returned_step, color="gray", linestyle=":", label=f"returned (step {returned_step})")
    positive = np.asarray(losses.perceptual)
    axes.set(xlabel="step", ylabel="loss (weighted)", yscale="log", ylim=(max(positive.min() / 300, 1e-6), None))
    axes.grid(alpha=0.3)
    axes.legend()
    with files.replacing(path) as partial, open(partial, "wb") as file:
        FigureCanvasAgg(figure).print_png(file)


def _write_npz(path: Path, result: InversionResult) -> None:
    """`ws` and `noise_0`, `noise_1`, ... (coarse to fine) for other programs."""
    with files.replacing(path) as partial, open(partial, "wb") as file:
        noise = {f"noise_{index}": np.asarray(map_) for index, map_ in enumerate(result.noise)}
        np.savez(file, ws=np.asarray(result.ws), **noise)
