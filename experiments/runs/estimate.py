"""Estimated parameters of a damage in the folder of a run: kept for --resume, told in words, and drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgan import files
from jaxgan.blind import DECIDED, Estimate
from jaxgan.errors import UserError

FILE = "estimate.json"
UNITS = {"sigma": "pixels", "length": "pixels", "photons": "photons", "drop": "", "quality": "", "factor": ""}
DIGITS = {"sigma": 2, "length": 1, "photons": 1, "drop": 3, "quality": 0, "factor": 0}


class Estimated(NamedTuple):
    """The estimates of a face.

    Attributes:
      estimates: by the names of the parameters.
      truths: the values that damaged the face; empty for a photograph that was damaged already.
      scale: pixels of the photograph per pixel of the face, in which lengths are told, too; None if they are those of
        the face.
    """

    estimates: Mapping[str, Estimate]
    truths: Mapping[str, float]
    scale: float | None


def save(folder: Path, estimates: Mapping[str, Estimate]) -> None:
    """Keeps estimates for a run that is continued; every bit of them comes back."""
    files.write_text(folder / FILE, json.dumps({name: one._asdict() for name, one in estimates.items()}) + "\n")


def load(folder: Path) -> dict[str, Estimate] | None:
    """The estimates that an earlier process kept; None if it was stopped before.

    Raises:
      UserError: the file holds something else.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text())
        tuples = ("spread", "grid", "losses")
        return {name: Estimate(**one | {key: tuple(one[key]) for key in tuples}) for name, one in kept.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} holds no estimates ({error}); start again with --overwrite.") from error


def facts(estimated: Estimated) -> dict[str, Any]:
    """The estimates as config.json has them."""
    told: dict[str, Any] = {}
    for name, one in estimated.estimates.items():
        told[name] = {"value": one.value, "spread": list(one.spread), "flat": one.flat}
        if UNITS[name] == "pixels" and estimated.scale is not None:
            told[name]["pixels_of_photograph"] = one.value * estimated.scale
        if name in estimated.truths:
            told[name]["truth"] = estimated.truths[name]
    return told


def sentences(estimated: Estimated) -> list[str]:
    """The estimates in words, a line for each."""
    lines = []
    for name, one in estimated.estimates.items():
        subject = "photons are" if name == "photons" else f"{name} is"
        unit = "" if UNITS[name] != "pixels" else " pixels"
        text = f"{subject} estimated at {_number(name, one.value)}{unit} "
        text += f"({_number(name, one.spread[0])} to {_number(name, one.spread[1])})"
        if unit and estimated.scale is not None:
            text += f", {_number(name, one.value * estimated.scale)} pixels of the photograph"
        if one.flat:
            text += ", but the picture does not decide: other values are about as likely"
        lines.append(f"{text}.")
    return lines


def _number(name: str, value: float) -> str:
    return f"{value:.{DIGITS[name]}f}"


def plot(path: Path, estimated: Estimated) -> None:
    """Draws the loss over the grid of each parameter, with the estimate, and the truth where it is known."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(estimated.estimates)
    figure = Figure(figsize=(1 + 4.6 * count, 3.6), layout="constrained")
    for axes, (name, one) in zip(np.ravel(figure.subplots(1, count)), estimated.estimates.items(), strict=True):
        above = np.array(one.losses) - min(one.losses)
        axes.plot(one.grid, above, marker="." if len(one.grid) < 50 else None)
        axes.axhline(DECIDED, color="gray", linewidth=0.8, linestyle=":", label="not decided below")
        axes.axvspan(*one.spread, alpha=0.2, color="tab:orange", label="quarters of the picture")
        axes.axvline(one.value, color="tab:orange", label=f"estimate {_number(name, one.value)}")
        if name in estimated.truths:
            truth = estimated.truths[name]
            axes.axvline(truth, color="black", linestyle="--", label=f"truth {_number(name, truth)}")
        scale = "linear" if name in ("drop", "quality") else "log"
        axes.set(xscale=scale, xlabel=f"{name} (pixels)" if UNITS[name] == "pixels" else name)
        shown = one.grid[:: max(1, len(one.grid) // 6)]
        axes.set_xticks(shown, [f"{value:.2g}" for value in shown])
        axes.minorticks_off()
        axes.set_yscale("symlog", linthresh=DECIDED)
        axes.set_ylim(0, None)
        axes.set_ylabel("loss above the lowest (nats)")
        axes.set_title("the picture does not decide" if one.flat else "", fontsize=9)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    with files.replacing(path) as partial, open(partial, "wb") as file:
        FigureCanvasAgg(figure).print_png(file)
