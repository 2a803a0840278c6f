"""Errors of the converted golden networks against the official outputs: the table of CONVERSION.md.

    python tests/golden_errors.py

Each file goes through `python -m convert` and `jaxgan.load_generator`, as a user's would.
"""

import json
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from parity import CASES, REFERENCE, nhwc, relative_error

FILES = {
    "ada_tiny.pkl": "StyleGAN2-ADA",
    "ada_cond_tiny.pkl": "StyleGAN2-ADA, class-conditional",
    "ada_clamp_fp16_tiny.pkl": "StyleGAN2-ADA, conv_clamp and fp16 blocks",
    "ada_resnet_tiny.pkl": "StyleGAN2-ADA, resnet",
    "sg3repo_stylegan2_tiny.pkl": "StyleGAN3 project",
    "sg3repo_stylegan2_defaults_tiny.pkl": "StyleGAN3 project, its defaults",
    "tf_legacy_tiny.pkl": "TensorFlow era",
    "rosinality_tiny.pt": "rosinality, zip",
    "rosinality_tiny_legacy.pt": "rosinality, legacy stream",
    "basicsr_names.pth": "BasicSR",
    "genforce_names.pth": "genforce",
}
"""{golden file: what is special about it}; reference/README.md and cases/README.md say more."""

QUANTITIES = ("ws", "ws, psi", "ws, cutoff", "image", "image, no noise", "grad ws", "grad noise")


def place(file: str) -> Path:
    """The file itself, in the folder where it lies."""
    return next(folder / file for folder in (REFERENCE, CASES) if (folder / file).exists())


def errors(file: str) -> dict[str, float]:
    """Relative L2 error of every quantity; of the noise gradients, the largest."""
    from convert.__main__ import main
    from jaxgan import load_generator

    with tempfile.TemporaryDirectory() as folder:
        assert main(["stylegan2", str(place(file)), "--output", f"{folder}/network"]) == 0
        generator = load_generator(f"{folder}/network")
    stem = Path(file).stem.replace("rosinality_tiny_legacy", "rosinality_tiny")
    with np.load(place(f"{stem}.expected.npz")) as stored:
        expected = dict(stored)
    meta = json.loads(str(expected.get("meta", '{"num_noise": 0}')))
    layers = meta["noise_layers"] if "noise_layers" in meta else range(meta["num_noise"])  # rosinality numbers them
    labels = jnp.asarray(expected["c"]) if generator.config.c_dim else None

    def mapped(**truncation):
        mapping = jax.jit(lambda mapping, z, c: jax.vmap(lambda z, c: mapping(z, c, **truncation))(z, c))
        return mapping(generator.mapping, jnp.asarray(expected["z"]), labels)

    def objective(synthesis, ws, noise):
        images = jax.vmap(synthesis, (0, None))(ws, noise)
        return jnp.sum(images * nhwc(expected["R"])), images

    ws = jnp.asarray(expected["ws"])
    gradient = jax.jit(jax.grad(objective, (1, 2), has_aux=True))
    (grad_ws, grad_noise), image = gradient(generator.synthesis, ws, generator.synthesis.noise_const())
    found = {
        "ws": relative_error(mapped(), expected["ws"]),
        "image": relative_error(image, nhwc(expected["image_const"])),
        "grad ws": relative_error(grad_ws, expected["grad_ws"]),
    }
    if layers:
        found["grad noise"] = max(
            relative_error(gradient, expected[f"grad_noise_{layer}"].reshape(gradient.shape))
            for layer, gradient in zip(layers, grad_noise, strict=True)
        )
    if "ws_psi" in expected:
        found["ws, psi"] = relative_error(mapped(truncation_psi=0.7), expected["ws_psi"])
    if "image_none" in expected:
        without_noise = jax.jit(lambda synthesis, ws: jax.vmap(lambda w: synthesis(w, "none"))(ws))
        found["image, no noise"] = relative_error(without_noise(generator.synthesis, ws), nhwc(expected["image_none"]))
    if "ws_psi_cutoff" in expected:  # rosinality's code has no cutoff
        cutoff = mapped(truncation_psi=0.7, truncation_cutoff=3)
        found["ws, cutoff"] = relative_error(cutoff, expected["ws_psi_cutoff"])
    if "image_psi_const" in expected:
        truncate = jax.jit(lambda synthesis, ws: jax.vmap(synthesis)(ws))
        truncated = truncate(generator.synthesis, jnp.asarray(expected["ws_psi"]))
        found["image, psi"] = relative_error(truncated, nhwc(expected["image_psi_const"]))
    return found


def print_table() -> None:
    """Prints the errors of all files in Markdown."""
    jax.config.update("jax_default_matmul_precision", "highest")
    rows = [f"| format | {' | '.join(QUANTITIES)} |", "| --- " * (len(QUANTITIES) + 1) + "|"]
    for file, name in FILES.items():
        found = errors(file)
        rows.append(f"| {name} | " + " | ".join(f"{found[q]:.0e}" if q in found else "-" for q in QUANTITIES) + " |")
    print("\n".join(rows))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    print_table()
