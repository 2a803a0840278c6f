"""What a run leaves to look at: pictures, curves, tables and numbers of one result."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.runs.folder import RunFolder
from jaxgan import images
from jaxgan.inversion import InversionResult
from jaxgan.inversion_config import InversionConfig
from jaxgan.lpips import LPIPS
from jaxgan.metrics import lpips_name, measure
from jaxgan.optimization import LossTerms, lpips_size

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
        images.write_png(folder / "target.png", np.asarray(truth))
    images.write_png(folder / "degraded.png", np.asarray(observed))
    images.write_png(folder / "reconstruction.png", np.asarray(result.image))
    tiles = [] if truth is None else [("photograph", truth)]
    tiles += [
        ("degraded" if truth is not None else "photograph (degraded)", observed),
        ("reconstruction\n" + _numbers(measured.get("against_truth")), result.image),
        ("reconstruction degraded\n" + _numbers(measured["against_observed"]), degraded_again),
    ]
    images.write_png(folder / "panel.png", panel([(label, np.asarray(image)) for label, image in tiles]))
    frames = [_tile(images.to_float(images.read_photo(path))) for path in run.snapshots()]
    images.write_gif(folder / "progress.gif", [*frames, _tile(np.asarray(result.image))])
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
    parts = [f"{k.replace('_', ' ')}: {_numbers(v)}" for k, v in metrics.items() if isinstance(v, dict)]
    return "; ".join(parts) + f" (step {metrics['returned_step']})"


def panel(tiles: list[tuple[str, np.ndarray]]) -> np.ndarray:
    """Labelled pictures side by side.

    Args:
      tiles: label (of up to two lines) and float image `[H, W, 3]` of each.
    Returns:
      uint8 picture.
    """
    font = ImageFont.load_default(size=15)
    pictures = [Image.fromarray(images.to_uint8(_tile(image))) for _, image in tiles]
    width, height = pictures[0].size
    gap, bar = 4, 44
    sheet = Image.new("RGB", (len(tiles) * (width + gap) - gap, height + bar), "white")
    draw = ImageDraw.Draw(sheet)
    for index, ((label, _), picture) in enumerate(zip(tiles, pictures, strict=True)):
        left = index * (width + gap)
        sheet.paste(picture, (left, bar))
        draw.text((left + width / 2, 2), label.strip(), fill="black", font=font, anchor="ma", align="center")
    return np.asarray(sheet)


def weighted_terms(losses: LossTerms, config: InversionConfig, size: int) -> dict[str, np.ndarray]:
    """The terms times their weights, which sum to the total; `size` is that of the images that LPIPS compared."""
    return {
        "total": np.asarray(losses.total),
        lpips_name(size): np.asarray(losses.perceptual),
        "noise regulariser": config.noise_reg_weight * np.asarray(losses.noise_regularizer),
        "latent distance": config.latent_dist_reg_weight * np.asarray(losses.latent_distance),
    }


def write_losses(path: Path, losses: LossTerms, config: InversionConfig) -> None:
    """A row per step: the terms before their weights, and the learning rate."""
    rates = np.asarray(jax.vmap(config.numbers().learning_rate_at)(jnp.arange(len(losses.total))))
    partial = path.with_name(f".{path.name}")
    with open(partial, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", *LossTerms._fields, "learning_rate"])
        for step, row in enumerate(zip(*losses, rates, strict=True)):
            writer.writerow([step, *(f"{value:.9g}" for value in row)])
    os.replace(partial, path)


def plot_losses(path: Path, losses: LossTerms, config: InversionConfig, *, size: int, returned_step: int) -> None:
    """Every loss term over the steps, as it enters the total."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    terms = weighted_terms(losses, config, size)
    for name, values in terms.items():
        if values.any():
            axes.plot(values, label=name, linewidth=2 if name == "total" else 1.2)
    axes.axvline(returned_step, color="gray", linestyle=":", label=f"returned (step {returned_step})")
    positive = terms[lpips_name(size)]
    axes.set(xlabel="step", ylabel="loss (weighted)", yscale="log", ylim=(max(positive.min() / 300, 1e-6), None))
    axes.grid(alpha=0.3)
    axes.legend()
    FigureCanvasAgg(figure).print_png(path)


def _numbers(metrics: dict[str, float] | None) -> str:
    if metrics is None:
        return ""
    return f"{metrics['psnr']:.1f} dB, {lpips_name(metrics['lpips_size'])} {metrics['lpips']:.3f}"


def _tile(image: np.ndarray) -> np.ndarray:
    """Enlarges a small picture by a whole factor, pixels kept square."""
    factor = max(1, -(-TILE // image.shape[0]))
    return np.repeat(np.repeat(image, factor, 0), factor, 1)


def _write_npz(path: Path, result: InversionResult) -> None:
    """`ws` and `noise_0`, `noise_1`, ... (coarse to fine) for other programs."""
    partial = path.with_name(f".{path.name}")
    with open(partial, "wb") as file:
        noise = {f"noise_{index}": np.asarray(map_) for index, map_ in enumerate(result.noise)}
        np.savez(file, ws=np.asarray(result.ws), **noise)
    os.replace(partial, path)
