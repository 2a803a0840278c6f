"""The projector once more, as a plain eager PyTorch program: what `experiments.benchmark` compares with.

Same weights, same loss, same updates as `jaxgan.inversion` in the W space without a prior, for a batch of images; the
architecture is "skip". In 16 bits it rounds what `jaxgan.inversion` rounds: the operands of the large convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from flax import nnx

from jaxgan import precision
from jaxgan.checkpoints import network_arrays
from jaxgan.generator_config import GeneratorConfig
from jaxgan.inversion_config import InversionConfig
from jaxgan.lpips import IMAGE_SCALE, IMAGE_SHIFT, TAPS
from jaxgan.optimization import InversionState, Problem
from jaxgan.vgg import STAGES


class Projector:
    """Holds the tensors of a run and makes steps."""

    def __init__(
        self,
        generator: nnx.Module,
        lpips: nnx.Module,
        problems: Sequence[Problem],
        config: InversionConfig,
        states: Sequence[InversionState],
        device: str = "cpu",
    ):
        """Copies networks, observations and first latents.

        Args:
          generator, lpips: the networks.
          problems, states: one per image.
          config: settings; their precision decides PyTorch's global switches for TF32, too.
          device: "cpu" or "cuda".
        """
        formats = precision.FORMATS[config.precision]
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = formats.products == "tensorfloat32"
        self.dtype, self.vgg_dtype = getattr(torch, formats.generator), getattr(torch, formats.vgg)
        self.scaler = torch.amp.GradScaler(device, enabled=config.precision == "float16")
        self.device = device
        self.shape: GeneratorConfig = generator.config
        self.config = config
        self.g = self._tensors(generator)
        self.vgg = self._tensors(lpips)
        self.w_std = float(problems[0].statistics.w_std)
        targets = zip(*(problem.target for problem in problems), strict=True)
        self.target = [self._tensor(np.stack(features)).permute(0, 3, 1, 2).contiguous() for features in targets]
        taps = torch.tensor(self.shape.resample_filter, device=device)
        self.filter = 4 * torch.outer(taps, taps) / taps.sum() ** 2
        self.shift, self.scale = (self._tensor(v).view(1, 3, 1, 1) for v in (IMAGE_SHIFT, IMAGE_SCALE))
        self.w = self._tensor(np.stack([state.latents.w for state in states])).requires_grad_()  # [n, w_dim]
        maps = zip(*(state.latents.noise for state in states), strict=True)
        self.noise = [self._tensor(np.stack(images))[:, None].requires_grad_() for images in maps]  # [n, 1, r, r]
        betas = (config.adam_b1, config.adam_b2)
        self.optimizer = torch.optim.Adam([self.w, *self.noise], betas=betas, eps=config.adam_eps)
        self.number = 0

    def step(self) -> torch.Tensor:
        """One step; returns the loss of every image."""
        t = self.number / self.config.steps
        falling = 0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / self.config.rampdown))
        self.optimizer.param_groups[0]["lr"] = self.config.learning_rate * falling * min(1, t / self.config.rampup)
        jitter = self.w_std * self.config.jitter * max(0, 1 - t / self.config.jitter_ramp) ** 2
        loss = self.loss(self.w + jitter * torch.randn_like(self.w))
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss.sum()).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            for map_ in self.noise:
                map_ -= map_.mean((2, 3), keepdim=True)
                map_ *= map_.square().mean((2, 3), keepdim=True).rsqrt()
        self.number += 1
        return loss.detach()

    def loss(self, w: torch.Tensor) -> torch.Tensor:
        """LPIPS to the target, and the noise regulariser: `[n]` from `[n, w_dim]`."""
        image = self._synthesis(w)
        if image.shape[-1] > self.config.feature_size:
            image = F.interpolate(image, size=(self.config.feature_size,) * 2, mode="area")
        features = self._features(image)
        perceptual = sum((a - b).square().sum((1, 2, 3)) for a, b in zip(features, self.target, strict=True))
        return perceptual + self.config.noise_reg_weight * self._noise_regularizer()

    def _synthesis(self, w: torch.Tensor) -> torch.Tensor:
        x, image, noise = self.g["synthesis/b4/const"].permute(2, 0, 1)[None], None, iter(self.noise)
        x = x.expand(len(w), -1, -1, -1)
        for resolution in self.shape.block_resolutions:
            name = f"synthesis/b{resolution}"
            if resolution > 4:
                x = self._layer(x, w, next(noise), f"{name}/conv0", up=True)
                image = F.pad(self._insert_zeros(image), (2, 1, 2, 1))
                image = self._filter(image)
            x = self._layer(x, w, next(noise), f"{name}/conv1", up=False)
            styles = self._affine(w, f"{name}/torgb") / math.sqrt(x.shape[1])
            rgb = F.conv2d(x * styles[:, :, None, None], self.g[f"{name}/torgb/kernel"])
            rgb = self._clamp(rgb + self.g[f"{name}/torgb/bias"].view(1, -1, 1, 1))
            image = rgb if image is None else image + rgb
        return image

    def _layer(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor, name: str, *, up: bool) -> torch.Tensor:
        weight = self.g[f"{name}/kernel"]
        styles = self._affine(w, name)
        scale = (styles.square() @ weight.square().sum((2, 3)).T + 1e-8).rsqrt()  # demodulation, [n, o]
        if self.dtype == torch.float16:
            of_weight = weight.abs().amax((1, 2, 3)) * math.sqrt(weight[0].numel())
            of_styles = styles.detach().abs().amax(1, keepdim=True)
            weight, styles, scale = weight / of_weight[:, None, None, None], styles / of_styles, scale * of_weight
            scale = scale * of_styles
        x, weight = (x * styles[:, :, None, None]).to(self.dtype), weight.to(self.dtype)
        if up:
            x = F.pad(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1, 1, 1)).float()
            x = self._filter(x)
        else:
            x = F.conv2d(x, weight, padding=1).float()
        x = x * scale[:, :, None, None] + self.g[f"{name}/noise_strength"] * noise
        x = F.leaky_relu(x + self.g[f"{name}/bias"].view(1, -1, 1, 1), 0.2) * math.sqrt(2)
        return self._clamp(x)

    def _affine(self, w: torch.Tensor, name: str) -> torch.Tensor:
        weight = self.g[f"{name}/affine/kernel"]  # [o, i]
        return F.linear(w, weight / math.sqrt(weight.shape[1]), self.g[f"{name}/affine/bias"])

    def _clamp(self, x: torch.Tensor) -> torch.Tensor:
        limit = self.shape.conv_clamp
        return x if limit is None else x.clamp(-limit, limit)

    def _insert_zeros(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return F.pad(x.view(n, c, h, 1, w, 1), (0, 1, 0, 0, 0, 1)).view(n, c, 2 * h, 2 * w)

    def _filter(self, x: torch.Tensor) -> torch.Tensor:
        channels = x.shape[1]
        return F.conv2d(x, self.filter.expand(channels, 1, -1, -1), groups=channels)

    def _features(self, image: torch.Tensor) -> list[torch.Tensor]:
        x, features = (image - self.shift) / self.scale, []
        for stage, (_, depth) in enumerate(STAGES, start=1):
            if stage > 1:
                x = F.max_pool2d(x, 2)
            for layer in range(1, depth + 1):
                name = f"vgg/conv{stage}_{layer}"
                kernel, bias = (self.vgg[f"{name}/{part}"].to(self.vgg_dtype) for part in ("kernel", "bias"))
                x = F.relu(F.conv2d(x.to(self.vgg_dtype), kernel, bias, padding=1))
            lin = self.vgg[f"lin/{tuple(TAPS)[stage - 1]}"].view(1, -1, 1, 1)
            taps = x.float()
            unit = taps / (taps.square().sum(1, keepdim=True).sqrt() + 1e-10)
            features.append(unit * (lin / (x.shape[2] * x.shape[3])).sqrt())
        return features

    def _noise_regularizer(self) -> torch.Tensor:
        total = torch.zeros(len(self.w), device=self.device)
        for map_ in self.noise:
            while True:
                total = total + sum((map_ * map_.roll(1, axis)).mean((1, 2, 3)).square() for axis in (2, 3))
                if map_.shape[-1] <= 8:
                    break
                map_ = F.avg_pool2d(map_, 2)
        return total

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.tensor(np.asarray(array), device=self.device)

    def _tensors(self, network: nnx.Module) -> dict[str, torch.Tensor]:
        """All weights in PyTorch's layouts: OIHW kernels and OI matrices, contiguous."""
        order = {4: (3, 2, 0, 1), 2: (1, 0)}
        tensors = {}
        for path, array in network_arrays(network).items():
            tensor = self._tensor(array)
            if path.endswith("/kernel"):
                tensor = tensor.permute(order[tensor.ndim]).contiguous()
            tensors[path] = tensor
        return tensors
