"""The table, the plot and the JSON of `experiments.benchmark`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxgan import files

COLUMNS = (
    *("network", "batch", "precision", "ms / step", "ms / image", "images / h", "TFLOP/s", "of peak", "compile"),
    *("memory", "PyTorch: ms / image", "memory", "JAX / PyTorch"),
)
STEPS = 1000
"""Of an inversion, for images per hour: the published projector's."""
PROGRAMS = {"jax": "JAX", "torch": "PyTorch"}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown, a line per cell. Images per hour are those of 1000 steps, without compilation and pictures."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    return "\n".join(lines + [f"| {' | '.join(_line(row))} |" for row in rows]) + "\n"


def _line(row: dict[str, Any]) -> list[str]:
    cells = [row["network"], str(row["batch_size"]), row["precision"]]
    if (per_step := row.get("jax_ms_per_step")) is None:
        cells += [row["jax_error"], *[""] * 6]
    else:
        per_image = per_step / row["batch_size"]
        reached = row["flops_per_step"] / per_image / 1e9  # FLOP per millisecond, in TFLOP/s
        peak = row["peak_tflops"]
        cells += [f"{per_step:.1f}", f"{per_image:.1f}", f"{3600e3 / (STEPS * per_image):.3g}", f"{reached:.3g}"]
        cells += ["?" if peak is None else f"{100 * reached / peak:.0f} %", f"{row['jax_compile_s']:.0f} s"]
        cells.append(_gigabytes(row["jax_peak_bytes"]))
    if (of_torch := row.get("torch_ms_per_step")) is None:
        return [*cells, row.get("torch_error", ""), "", ""]
    ratio = row["ratio"] if "ratio" in row else per_step / of_torch if per_step else None
    in_turn = "" if row["in_turn"] else " (not in turn)"
    cells += [f"{of_torch / row['batch_size']:.1f}", _gigabytes(row["torch_peak_bytes"])]
    return [*cells, "" if ratio is None else f"{ratio:.2f}{in_turn}"]


def _gigabytes(number: int | None) -> str:
    return "out of memory" if number is None else f"{number / 1e9:.1f} GB"


def write(folder: Path, result: dict[str, Any]) -> None:
    """Writes benchmark.json, benchmark.md and benchmark.png."""
    files.write_text(folder / "benchmark.json", json.dumps(result, indent=1) + "\n")
    devices = ", ".join(dict.fromkeys(row["device"] for row in result["cells"] if "device" in row))
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    files.write_text(folder / "benchmark.md", f"{result['date']}; {devices}; {versions}.\n\n{table(result['cells'])}")
    plot(folder / "benchmark.png", result["cells"])


def plot(path: Path, rows: list[dict[str, Any]]) -> None:
    """Milliseconds per step and image over the size of the batch, a panel per network."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    networks = list(dict.fromkeys(row["network"] for row in rows))
    figure, panels = plt.subplots(1, len(networks), figsize=(4 * len(networks), 3.6), squeeze=False)
    for network, axes in zip(networks, panels[0], strict=True):
        lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for row in (row for row in rows if row["network"] == network):
            for program in PROGRAMS:
                if (milliseconds := row.get(f"{program}_ms_per_step")) is not None:
                    point = (row["batch_size"], milliseconds / row["batch_size"])
                    lines.setdefault((row["precision"], program), []).append(point)
        colors = {name: f"C{index}" for index, name in enumerate(dict.fromkeys(name for name, _ in lines))}
        for (name, program), points in lines.items():
            style = {"color": colors[name], "marker": "o" if program == "jax" else "x"}
            style["linestyle"] = "-" if program == "jax" else "--"
            axes.plot(*zip(*sorted(points), strict=True), **style, label=f"{PROGRAMS[program]}, {name}")
        sizes = sorted({size for points in lines.values() for size, _ in points})
        axes.set(title=network, xlabel="images in the batch", xscale="log", xticks=sizes, xticklabels=sizes)
        axes.set_ylim(bottom=0)
        axes.minorticks_off()
        axes.legend()
    panels[0][0].set_ylabel("ms per step and image")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
