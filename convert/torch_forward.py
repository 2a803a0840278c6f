"""Runs the generator in plain PyTorch on the arrays of the original file, as an oracle for converted networks.

This is written from the papers and independent of the conversion tables and of jaxgan's operators: each format's own
names and layouts are read here a second time. It is slow and simple, and computes in float32.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, arXiv 1912.04958.
  Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, arXiv 2006.06676.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F

from jaxgan.generator_config import GeneratorConfig

Tensors = Callable[[str], torch.Tensor]
"""A function such that `get("b8.conv0.weight")` is the array of that official name, in PyTorch's layout."""


def reader(file_format: str, arrays: Mapping[str, np.ndarray], made: Mapping[str, np.ndarray] | None = None) -> Tensors:
    """Returns a function that reads the arrays of a file in the way of its format.

    Args:
      file_format: the `format` of `convert.found.Found`.
      arrays: the arrays by the file's names.
      made: the arrays that the file lacks, under the names that `Tensors` takes.
    """

    def official(name: str) -> np.ndarray:
        return arrays[name if name.startswith("mapping.") else f"synthesis.{name}"]

    readers = {
        "stylegan2-tensorflow": lambda name: _from_tensorflow(arrays, name),
        "rosinality": lambda name: _from_rosinality(arrays, name),
        "rosinality-decoder": lambda name: _from_rosinality(arrays, name),
        "basicsr": lambda name: _from_basicsr(arrays, name),
        "gfpgan-decoder": lambda name: _from_basicsr(arrays, name),
        "genforce": lambda name: _from_genforce(arrays, name),
    }
    get, made = readers.get(file_format, official), made or {}
    return lambda name: torch.tensor(np.array(made[name] if name in made else get(name), np.float32))


def map_latents(
    get: Tensors, config: GeneratorConfig, z: torch.Tensor, c: torch.Tensor | None, psi: float, cutoff: int
) -> torch.Tensor:
    """Maps z `[N, z_dim]` (and labels `[N, c_dim]`) to ws `[N, num_ws, w_dim]`, truncated by psi in the first rows."""
    x = _normalize(z)
    if c is not None:
        embedded = _dense(c, get("mapping.embed.weight"), get("mapping.embed.bias"))
        x = torch.cat([x, _normalize(embedded)], dim=1)
    for index in range(config.mapping_layers):
        name = f"mapping.fc{index}"
        x = _dense(x, get(f"{name}.weight"), get(f"{name}.bias"), config.mapping_lr_multiplier)
        x = F.leaky_relu(x, 0.2) * math.sqrt(2)
    w_avg = get("mapping.w_avg")
    truncated = w_avg + psi * (x - w_avg)
    return torch.stack([truncated if row < cutoff else x for row in range(config.num_ws)], dim=1)


def synthesize(
    get: Tensors, config: GeneratorConfig, ws: torch.Tensor
) -> dict[int, tuple[torch.Tensor, torch.Tensor | None]]:
    """Maps ws `[N, num_ws, w_dim]` to {resolution: (features `[N, C, r, r]`, image so far or None)}."""
    x = get("b4.const").expand(len(ws), -1, -1, -1)
    image, row, outputs = None, 0, {}
    for r in config.block_resolutions:
        resnet = config.architecture == "resnet" and r > 4
        before = x
        if r > 4:
            x = _layer(get, config, x, ws[:, row], f"b{r}.conv0", up=True)
            row += 1
        x = _layer(get, config, x, ws[:, row], f"b{r}.conv1", gain=math.sqrt(0.5) if resnet else 1.0)
        row += 1
        if resnet:
            weight = get(f"b{r}.skip.weight")
            skip = F.conv2d(before, weight / math.sqrt(weight.shape[1]))
            x = x + math.sqrt(0.5) * _upsample(skip, config)
        if image is not None:
            image = _upsample(image, config)
        if config.architecture == "skip" or r == config.resolution:
            rgb = _to_rgb(get, config, x, ws[:, row], f"b{r}.torgb")  # the row of the next block's first layer
            image = rgb if image is None else image + rgb
        outputs[r] = x, image
    return outputs


def _layer(
    get: Tensors,
    config: GeneratorConfig,
    x: torch.Tensor,
    w: torch.Tensor,
    name: str,
    *,
    up: bool = False,
    gain: float = 1.0,
) -> torch.Tensor:
    weight = get(f"{name}.weight")  # [O, I, 3, 3]
    styles = _dense(w, get(f"{name}.affine.weight"), get(f"{name}.affine.bias"))  # [N, I]
    modulated = weight[None] * styles[:, None, :, None, None]  # [N, O, I, 3, 3]
    modulated = modulated * torch.rsqrt((modulated**2).sum((2, 3, 4), keepdim=True) + 1e-8)
    x = torch.cat([_convolve(x[n : n + 1], modulated[n], config, up=up) for n in range(len(x))])
    x = x + get(f"{name}.noise_strength") * get(f"{name}.noise_const") + get(f"{name}.bias")[None, :, None, None]
    x = F.leaky_relu(x, 0.2) * (math.sqrt(2) * gain)
    return x if config.conv_clamp is None else x.clamp(-config.conv_clamp * gain, config.conv_clamp * gain)


def _to_rgb(get: Tensors, config: GeneratorConfig, x: torch.Tensor, w: torch.Tensor, name: str) -> torch.Tensor:
    weight = get(f"{name}.weight")[:, :, 0, 0]  # [C, I]
    styles = _dense(w, get(f"{name}.affine.weight"), get(f"{name}.affine.bias")) / math.sqrt(weight.shape[1])
    x = torch.einsum("nihw,ni,ci->nchw", x, styles, weight) + get(f"{name}.bias")[None, :, None, None]
    return x if config.conv_clamp is None else x.clamp(-config.conv_clamp, config.conv_clamp)


def _convolve(x: torch.Tensor, weight: torch.Tensor, config: GeneratorConfig, *, up: bool) -> torch.Tensor:
    if not up:
        return F.conv2d(x, weight, padding=1)
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [1, O, 2 h + 1, 2 w + 1]
    taps = len(config.resample_filter)
    return _filter(x, config, (taps + 1) // 2 - 1, (taps - 2) // 2)


def _upsample(x: torch.Tensor, config: GeneratorConfig) -> torch.Tensor:
    n, channels, height, width = x.shape
    spread = x.new_zeros(n, channels, 2 * height, 2 * width)
    spread[:, :, ::2, ::2] = x
    taps = len(config.resample_filter)
    return _filter(spread, config, (taps + 1) // 2, (taps - 2) // 2)


def _filter(x: torch.Tensor, config: GeneratorConfig, before: int, after: int) -> torch.Tensor:
    """Convolves every channel truly with 4 times the normalised filter, after zero padding."""
    taps = torch.tensor(config.resample_filter, dtype=torch.float32)
    kernel = 4 * torch.outer(taps, taps) / taps.sum() ** 2
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x.flatten(0, 1)[:, None], kernel.flip(0, 1)[None, None]).unflatten(0, x.shape[:2])[:, :, 0]


def _dense(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, lr_multiplier: float = 1.0) -> torch.Tensor:
    return x @ (weight * (lr_multiplier / math.sqrt(weight.shape[1]))).T + bias * lr_multiplier


def _normalize(x: torch.Tensor) -> torch.Tensor:
    return x * torch.rsqrt((x**2).mean(dim=1, keepdim=True) + 1e-8)


def _from_tensorflow(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    part, *rest = name.split(".")
    if part == "mapping":
        if rest == ["w_avg"]:
            return arrays["dlatent_avg"]
        layer = rest[0].replace("fc", "Dense").replace("embed", "LabelEmbed")
        return arrays[f"mapping/{layer}/{rest[1]}"].T
    r = int(part[1:])
    block = f"synthesis/{r}x{r}"
    if rest == ["const"]:
        return arrays[f"{block}/Const/const"][0]
    first, second = ("", "Conv") if r == 4 else ("Conv0_up", "Conv1")
    layer = {"conv0": first, "conv1": second, "torgb": "ToRGB", "skip": "Skip"}[rest[0]]
    leaf = ".".join(rest[1:])
    if rest[0] == "torgb" and f"{block}/ToRGB/weight" not in arrays:  # the network grew during its training
        block, layer = "synthesis", "ToRGB_lod0"
    if leaf == "noise_const":
        index = 0 if r == 4 else 2 * int(math.log2(r)) - (5 if rest[0] == "conv0" else 4)
        return arrays[f"synthesis/noise{index}"][0, 0]
    if leaf == "affine.weight":
        return arrays[f"{block}/{layer}/mod_weight"].T
    if leaf == "affine.bias":
        return arrays[f"{block}/{layer}/mod_bias"] + 1
    array = arrays[f"{block}/{layer}/{leaf}"]
    if leaf == "weight":
        array = np.moveaxis(array, (2, 3), (1, 0))  # HWIO to OIHW
        array = array[:, :, ::-1, ::-1] if layer in ("Conv0_up", "Skip") else array
    return array


def _from_rosinality(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    part, *rest = name.split(".")
    if part == "mapping":
        return arrays["latent_avg" if rest == ["w_avg"] else f"style.{int(rest[0][2:]) + 1}.{rest[1]}"]
    if rest == ["const"]:
        return arrays["input.input"][0]
    level = int(math.log2(int(part[1:]))) - 2  # 0 at 4x4
    index = 2 * level - 2 + (rest[0] == "conv1")  # the number in `convs`; -1 is the 4x4 block's conv1
    leaf = ".".join(rest[1:])
    if leaf == "noise_const":
        return arrays[f"noises.noise_{index + 1}"][0, 0]
    if rest[0] == "torgb":
        layer = f"to_rgbs.{level - 1}" if level else "to_rgb1"
    else:
        layer = f"convs.{index}" if level else "conv1"
    if leaf == "weight":
        return arrays[f"{layer}.conv.weight"][0]
    if leaf.startswith("affine."):
        return arrays[f"{layer}.conv.modulation.{leaf[7:]}"]
    if leaf == "bias":
        return arrays[f"{layer}.bias" if rest[0] == "torgb" else f"{layer}.activate.bias"].reshape(-1)
    return arrays[f"{layer}.noise.weight"][0]  # noise_strength


def _from_basicsr(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    part, *rest = name.split(".")
    if part == "mapping":
        return arrays["latent_avg" if rest == ["w_avg"] else f"style_mlp.{int(rest[0][2:]) + 1}.{rest[1]}"]
    if rest == ["const"]:
        return arrays["constant_input.weight"][0]
    index, to_rgb = _place(part, rest[0])
    if rest[0] == "torgb":
        layer = "to_rgb1" if to_rgb == 0 else f"to_rgbs.{to_rgb - 1}"
    else:
        layer = "style_conv1" if index == 0 else f"style_convs.{index - 1}"
    leaf = ".".join(rest[1:])
    if leaf == "noise_const":
        return arrays[f"noises.noise{index}"][0, 0]
    if leaf == "noise_strength":
        return arrays[f"{layer}.weight"][0]
    if leaf == "bias":
        return arrays[f"{layer}.bias" if rest[0] == "torgb" else f"{layer}.activate.bias"].reshape(-1)
    if leaf == "weight":
        return arrays[f"{layer}.modulated_conv.weight"][0]
    return arrays[f"{layer}.modulated_conv.modulation.{leaf.removeprefix('affine.')}"]


def _from_genforce(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    part, *rest = name.split(".")
    if part == "mapping":
        return arrays["truncation.w_avg" if rest == ["w_avg"] else f"mapping.dense{rest[0][2:]}.{rest[1]}"]
    if rest == ["const"]:
        return arrays["synthesis.early_layer.const"][0]
    index, to_rgb = _place(part, rest[0])
    others = {"torgb": f"synthesis.output{to_rgb}", "skip": f"synthesis.skip_layer{to_rgb - 1}"}
    layer = others.get(rest[0], f"synthesis.layer{index}")
    leaf = ".".join(rest[1:])
    if leaf == "noise_const":
        return arrays[f"{layer}.noise"][0, 0]
    array = arrays[f"{layer}.{leaf.replace('affine', 'style')}"]
    if leaf == "weight" and rest[0] == "conv0":
        return array[:, :, ::-1, ::-1]
    return array + 1 if leaf == "affine.bias" else array


def _place(block: str, layer: str) -> tuple[int, int]:
    """Returns the numbers, from 0, of a convolution among all of them and of its block."""
    level = int(math.log2(int(block[1:]))) - 2
    return max(0, 2 * level - (layer == "conv0")), level
