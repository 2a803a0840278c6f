"""Finding: a wrong assumed blur ruins the result."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from experiments.studies import figures
from experiments.studies.setup import Case, Findings, Setup
from jaxgan.degradations import GaussianBlur

SIGMAS = (0.5, 1.0, 2.0, 4.0)
KERNEL_SIZE = 25  # six sigmas of the widest


def study(setup: Setup) -> Findings:
    """Every true sigma with every assumed one, as one batch."""
    blurs = {sigma: GaussianBlur(jnp.float32(sigma), KERNEL_SIZE) for sigma in SIGMAS}
    cases = [
        Case({"true_sigma": true, "assumed_sigma": assumed}, i, blurs[true], blurs[assumed])
        for true in SIGMAS
        for assumed in SIGMAS
        for i in setup.indices
    ]
    rows = setup.invert(setup.config("deblur"), cases)
    count = len(setup.indices)
    mean = np.array([row["lpips_truth"] for row in rows]).reshape(len(SIGMAS), len(SIGMAS), count).mean(2)
    figure, (heat,), strips = figures.new(1, len(SIGMAS), len(SIGMAS))
    picture = heat.imshow(mean, cmap="viridis_r")
    for (i, j), value in np.ndenumerate(mean):
        heat.text(j, i, f"{value:.3f}", ha="center", va="center", fontsize=8, color="white" if value > 0.3 else "black")
    ticks = range(len(SIGMAS))
    heat.set(xticks=ticks, yticks=ticks, xticklabels=SIGMAS, yticklabels=SIGMAS)
    heat.set(xlabel="assumed sigma (pixels)", ylabel="true sigma (pixels)")
    figure.colorbar(picture, ax=heat, label=f"{setup.lpips_name} to the truth")
    for index, row in enumerate(rows[::count]):
        label = f"true {row['true_sigma']:g}" if index % len(SIGMAS) == 0 else ""
        title = f"assumed {row['assumed_sigma']:g}" if index < len(SIGMAS) else ""
        figures.show(strips[index // len(SIGMAS)][index % len(SIGMAS)], row["images"]["restored"], title, label)
    under = [row for row in rows if row["assumed_sigma"] < row["true_sigma"]]
    over = [row for row in rows if row["assumed_sigma"] > row["true_sigma"]]
    right = [row for row in rows if row["assumed_sigma"] == row["true_sigma"]]
    text = (
        f"{setup.lpips_name} to the truth is {figures.mean_of(right, 'lpips_truth', 3)} where the assumed sigma is "
        f"the true one, "
        f"{figures.mean_of(under, 'lpips_truth', 3)} where it is too small and "
        f"{figures.mean_of(over, 'lpips_truth', 3)} where it is too large."
    )
    return Findings(rows, figure, text)
