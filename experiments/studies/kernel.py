"""Finding: a blur of kernel size 5 is undone, one of 51 is not."""

from __future__ import annotations

import jax.numpy as jnp

from experiments.measure import classical
from experiments.studies import figures
from experiments.studies.setup import Case, Findings, Row, Setup, classical_row
from jaxgan import images
from jaxgan.degradations import GaussianBlur

KERNEL_SIZES = (3, 5, 9, 17, 51)


def sigma_of(kernel_size: int) -> float:
    """The sigma that common libraries (OpenCV, torchvision) take for a kernel size: `0.15 k + 0.35`."""
    return 0.15 * kernel_size + 0.35


def study(setup: Setup) -> Findings:
    """Blurs of growing size, undone by inversion and by Richardson-Lucy deconvolution."""
    rows: list[Row] = []
    others: list[Row] = []
    for size in KERNEL_SIZES:
        blur = GaussianBlur(jnp.float32(sigma_of(size)), size)
        labels = {"kernel_size": size, "sigma": sigma_of(size)}
        found = setup.invert(setup.config("deblur"), [Case(labels, i, blur, blur) for i in setup.indices])
        rows += [{**row, "method": "jaxgan"} for row in found]
        for i in setup.indices:
            observed = images.to_float(found[i]["images"]["observed"])
            restored = classical.restore(blur, observed)
            others.append(classical_row(setup, labels | {"method": "Richardson-Lucy"}, i, blur, restored))
    figure, (perceptual, pixels), strips = figures.new(2, 2, len(KERNEL_SIZES))
    for name, chosen in (("inversion", rows), ("Richardson-Lucy", others)):
        figures.curve(perceptual, chosen, "kernel_size", "lpips_truth", label=name)
        figures.curve(pixels, chosen, "kernel_size", "psnr_truth", label=name)
    figures.log_axes(perceptual, "kernel size (pixels)", KERNEL_SIZES, f"{setup.lpips_name} to the truth")
    figures.log_axes(pixels, "kernel size (pixels)", KERNEL_SIZES, "PSNR to the truth (dB)")
    perceptual.legend(fontsize=8)
    for index, row in enumerate(rows[:: len(setup.indices)]):
        title = f"{row['kernel_size']}, sigma {row['sigma']:.1f}"
        figures.show(strips[0][index], row["images"]["observed"], title, "" if index else "observed")
        figures.show(strips[1][index], row["images"]["restored"], "", "" if index else "restored")
    means = [
        f"{figures.mean_of(rows, 'lpips_truth', 3, kernel_size=size)} and "
        f"{figures.mean_of(others, 'lpips_truth', 3, kernel_size=size)} for size {size}"
        for size in KERNEL_SIZES
    ]
    text = f"{setup.lpips_name} to the truth after inversion and after Richardson-Lucy: {'; '.join(means)}."
    return Findings(rows + others, figure, text)
