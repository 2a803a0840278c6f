"""Latents from files of this project and of others, to begin an inversion with.

`latents.npz` of a run holds `ws` and noise maps; projectors write `projected_w.npz` with `w` [1, num_ws, w_dim];
projectors of PyTorch write a dict with a "latent" and "noise" for each picture; encoders write a tensor
[N, num_ws, w_dim], of which `FILE:3` takes a row.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convert.files import torch_files
from jaxgan.errors import UserError
from jaxgan.generator_config import GeneratorConfig
from jaxgan.inversion_config import InversionConfig
from jaxgan.latents import space_shape


def split(text: str) -> tuple[Path, int | None]:
    """File and row of `FILE` or `FILE:ROW`."""
    name, _, row = text.rpartition(":")
    return (Path(name), int(row)) if name and row.isdecimal() else (Path(text), None)


def read(text: str, generator: GeneratorConfig, inversion: InversionConfig) -> tuple[np.ndarray, list[np.ndarray]]:
    """Reads what an inversion is to begin with.

    Args:
      text: see `split`.
      generator: the latents have its sizes.
      inversion: its latent space is that of the result.
    Returns:
      w, in the space of the inversion or in a smaller one, and the noise maps, none if the file has none.
    Raises:
      UserError: the file holds no such latents, or those of another network.
    """
    path, row = split(text)
    ws, noise = _content(path, row)
    if ws.ndim == 3 and len(ws) == 1:
        ws = ws[0]
    ws = np.atleast_2d(ws)
    allowed = [(1, generator.w_dim), space_shape("w_plus", generator)]
    if inversion.latent_space == "w_plus_plus":
        allowed.append(space_shape("w_plus_plus", generator))
    if ws.shape not in allowed:
        raise UserError(
            f"{text} holds latents of shape {list(ws.shape)}; this generator takes [{generator.num_ws}, "
            f"{generator.w_dim}] or [{generator.w_dim}]. Of several, {path}:0 takes the first."
        )
    if noise and [map_.shape for map_ in noise] != list(generator.noise_shapes):
        shapes = ", ".join(f"{map_.shape}" for map_ in noise)
        raise UserError(f"{text} holds noise maps of shapes {shapes}; they are of another generator.")
    if not all(np.isfinite(array).all() for array in (ws, *noise)):
        raise UserError(f"{text} holds latents or noise maps that are not finite.")
    if inversion.latent_space == "w" and not (ws == ws[:1]).all():
        raise UserError(
            f"{text} holds a latent for each layer; the space W, where this begins, takes one for all of them."
        )
    return (ws[0] if inversion.latent_space == "w" or len(ws) == 1 else ws), noise


def _content(path: Path, row: int | None) -> tuple[np.ndarray, list[np.ndarray]]:
    """Latents and noise maps as the file has them; of several the row that is asked for."""
    if not path.is_file():
        raise UserError(f"{path}: no such file of latents.")
    if path.suffix == ".npz":
        content: Any = _arrays_of_npz(path)
        latents = content.get("ws", content.get("w"))
        noise = [content[f"noise_{index}"] for index in range(sum(name.startswith("noise_") for name in content))]
    else:
        content = torch_files.read_tensors(path)
        if isinstance(content, Mapping) and content and all(isinstance(v, Mapping) for v in content.values()):
            content = _row(list(content.values()), row, path)  # a dict for each picture
            row = None
        is_dict = isinstance(content, Mapping)
        latents = content.get("latent") if is_dict else content
        noise = [np.squeeze(map_) for map_ in content.get("noise", ())] if is_dict else []
    if not isinstance(latents, np.ndarray) or latents.dtype.kind != "f":
        raise UserError(
            f"{path} holds no latents; expected latents.npz of a run, an .npz with `w` [1, num_ws, w_dim], or a .pt "
            'with a tensor [N, num_ws, w_dim] or a dict of "latent" and "noise" for each picture.'
        )
    if row is not None and latents.ndim == 3:
        latents = _row(latents, row, path)
    return np.asarray(latents, np.float32), [np.asarray(map_, np.float32) for map_ in noise]


def _row(items: Any, row: int | None, path: Path) -> Any:
    if (row is not None and row >= len(items)) or (row is None and len(items) > 1):
        raise UserError(f"{path} holds the latents of {len(items)} pictures; {path}:0 takes the first of them.")
    return items[row or 0]


def _arrays_of_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no .npz file of arrays: {error}") from None
