"""Compares a converted network block by block with an independent PyTorch forward on the original file's arrays."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from convert import stylegan2
from convert.files import file_kinds
from jaxgan import checkpoints
from jaxgan.errors import UserError
from jaxgan.generator import MappingNetwork, SynthesisNetwork

SAMPLES, SEED = 2, 0
TOLERANCE = 1e-5
"""The largest relative L2 error that is accepted in float32; the golden files stay well below it."""


def compare(path: Path, folder: Path) -> list[tuple[str, float, float]]:
    """Runs both networks on the same latents.

    Args:
      path: the original file.
      folder: the network folder it was converted to.
    Returns:
      Triples (quantity, relative L2 error, largest absolute error) for ws, truncated ws, and the features and the
      image of every block.
    Raises:
      UserError: PyTorch is not installed, or the two are different networks.
    """
    try:
        import torch

        from convert import torch_forward
    except ImportError:
        raise UserError("verify runs the network in PyTorch, which is not installed: pip install torch.") from None

    generator = checkpoints.load_generator(os.fspath(folder))  # the text "demo" names the embedded network
    config = generator.config
    settings = {name: getattr(config, name) for name in ("alignment_scale", "source", "source_sha256")}
    content = stylegan2.read_content(path)
    like = folder if stylegan2.needs_example(content) else None
    which = "g_ema" if like else _which(folder)
    found = stylegan2.find_in_content(path, content, which=which, like=like, **settings)
    with file_kinds.named(path):
        weights = found.weights()  # this names everything that is missing or misshapen before it is used
    if found.config != config:
        raise UserError(f"{folder} holds another network than {path}: {config} and {found.config}.")

    random = np.random.RandomState(SEED)
    z = random.standard_normal((SAMPLES, config.z_dim)).astype(np.float32)
    c = np.eye(config.c_dim, dtype=np.float32)[np.arange(SAMPLES) % config.c_dim] if config.c_dim else None
    made = {path.removeprefix("synthesis/").replace("/", "."): weights[path] for path in found.made}
    get = torch_forward.reader(found.format, found.arrays, made)
    rows = []

    def row(name: str, ours, theirs) -> None:
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        difference = ours - theirs
        rows.append((name, float(np.linalg.norm(difference) / np.linalg.norm(theirs)), float(np.abs(difference).max())))

    with torch.no_grad(), jax.default_matmul_precision("highest"):
        labels = None if c is None else torch.tensor(c)
        for name, psi, cutoff in (("ws", 1.0, config.num_ws), ("ws, psi 0.5, cutoff 3", 0.5, 3)):
            ws = torch_forward.map_latents(get, config, torch.tensor(z), labels, psi, cutoff)
            row(name, _mapped(generator.mapping, z, c, psi=psi, cutoff=cutoff), ws)
        blocks = torch_forward.synthesize(get, config, ws)
        ours = _block_outputs(generator.synthesis, jnp.asarray(ws.numpy()))
        for (r, (x, image)), (our_x, our_image) in zip(blocks.items(), ours, strict=True):
            row(f"b{r} features", np.moveaxis(our_x, -1, 1), x)
            if image is not None:
                row(f"b{r} image", np.moveaxis(our_image, -1, 1), image)
    return rows


@partial(jax.jit, static_argnames=("psi", "cutoff"))
def _mapped(mapping: MappingNetwork, z: np.ndarray, c: np.ndarray | None, *, psi: float, cutoff: int) -> jax.Array:
    return jax.vmap(lambda z, c: mapping(z, c, truncation_psi=psi, truncation_cutoff=cutoff))(z, c)


@jax.jit
def _block_outputs(synthesis: SynthesisNetwork, ws: jax.Array) -> list[tuple[jax.Array, jax.Array | None]]:
    return jax.vmap(synthesis.block_outputs)(ws)


def _which(folder: Path) -> stylegan2.Which:
    """Finds out which of the file's generators was converted."""
    try:
        which = json.loads((folder / "config.json").read_text())["conversion"]["which"]
    except (OSError, ValueError, KeyError, TypeError):  # this is the demo network, or a folder of an earlier version
        return "g_ema"
    return "g" if which == "g" else "g_ema"
