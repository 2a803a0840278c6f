"""The projector once more, as a plain eager PyTorch program: what `experiments.benchmark` compares with.

Same weights, same loss, same updates as `jaxgan.inversion` in the W space without a prior; the architecture is "skip".
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from flax import nnx

from jaxgan.checkpoints import network_arrays
from jaxgan.generator import GeneratorConfig
from jaxgan.inversion import InversionConfig, InversionState, Problem
from jaxgan.lpips import IMAGE_SCALE, IMAGE_SHIFT, TAPS
from jaxgan.vgg import STAGES


class Projector:
    """Holds the tensors of a run and makes steps."""

    def __init__(
        self,
        generator: nnx.Module,
        lpips: nnx.Module,
        problem: Problem,
        config: InversionConfig,
        state: InversionState,
        device: str = "cpu",
    ):
        self.device = device
        self.shape: GeneratorConfig = generator.config
        self.config = config
        self.g = self._tensors(generator)
        self.vgg = self._tensors(lpips)
        self.w_std = float(problem.statistics.w_std)
        self.target = [self._tensor(feature).permute(2, 0, 1)[None] for feature in problem.target_features]
        taps = torch.tensor(self.shape.resample_filter, device=device)
        self.filter = 4 * torch.outer(taps, taps) / taps.sum() ** 2
        self.shift, self.scale = (self._tensor(v).view(1, 3, 1, 1) for v in (IMAGE_SHIFT, IMAGE_SCALE))
        self.w = self._tensor(state.latents.w).requires_grad_()
        self.noise = [self._tensor(map_).requires_grad_() for map_ in state.latents.noise]
        betas = (config.adam_b1, config.adam_b2)
        self.optimizer = torch.optim.Adam([self.w, *self.noise], betas=betas, eps=config.adam_eps)
        self.number = 0

    def step(self) -> torch.Tensor:
        """One step; returns its loss."""
        t = self.number / self.config.steps
        falling = 0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / self.config.rampdown))
        self.optimizer.param_groups[0]["lr"] = self.config.learning_rate * falling * min(1, t / self.config.rampup)
        jitter = self.w_std * self.config.jitter * max(0, 1 - t / self.config.jitter_ramp) ** 2
        loss = self.loss(self.w + jitter * torch.randn_like(self.w))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for map_ in self.noise:
                map_ -= map_.mean()
                map_ *= map_.square().mean().rsqrt()
        self.number += 1
        return loss.detach()

    def loss(self, w: torch.Tensor) -> torch.Tensor:
        """LPIPS to the target, and the noise regulariser."""
        image = self._synthesis(w)
        if image.shape[-1] > self.config.feature_size:
            image = F.interpolate(image, size=(self.config.feature_size,) * 2, mode="area")
        features = self._features(image)
        perceptual = sum((a - b).square().sum() for a, b in zip(features, self.target, strict=True))
        return perceptual + self.config.noise_reg_weight * self._noise_regularizer()

    def _synthesis(self, w: torch.Tensor) -> torch.Tensor:
        x, image, noise = self.g["synthesis/b4/const"].permute(2, 0, 1)[None], None, iter(self.noise)
        for resolution in self.shape.block_resolutions:
            name = f"synthesis/b{resolution}"
            if resolution > 4:
                x = self._layer(x, w, next(noise), f"{name}/conv0", up=True)
                image = F.pad(self._insert_zeros(image), (2, 1, 2, 1))
                image = self._filter(image)
            x = self._layer(x, w, next(noise), f"{name}/conv1", up=False)
            styles = self._affine(w, f"{name}/torgb") / math.sqrt(x.shape[1])
            rgb = F.conv2d(x * styles.view(1, -1, 1, 1), self.g[f"{name}/torgb/kernel"])
            rgb = self._clamp(rgb + self.g[f"{name}/torgb/bias"].view(1, -1, 1, 1))
            image = rgb if image is None else image + rgb
        return image

    def _layer(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor, name: str, *, up: bool) -> torch.Tensor:
        weight = self.g[f"{name}/kernel"]
        styles = self._affine(w, name)
        demodulation = ((weight * styles.view(1, -1, 1, 1)).square().sum((1, 2, 3)) + 1e-8).rsqrt()
        x = x * styles.view(1, -1, 1, 1)
        if up:
            x = self._filter(F.pad(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1, 1, 1)))
        else:
            x = F.conv2d(x, weight, padding=1)
        x = x * demodulation.view(1, -1, 1, 1) + self.g[f"{name}/noise_strength"] * noise
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
                x = F.relu(F.conv2d(x, self.vgg[f"{name}/kernel"], self.vgg[f"{name}/bias"], padding=1))
            lin = self.vgg[f"lin/{tuple(TAPS)[stage - 1]}"].view(1, -1, 1, 1)
            unit = x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)
            features.append(unit * (lin / (x.shape[2] * x.shape[3])).sqrt())
        return features

    def _noise_regularizer(self) -> torch.Tensor:
        total = torch.zeros((), device=self.device)
        for map_ in self.noise:
            while True:
                total = total + sum((map_ * map_.roll(1, axis)).mean().square() for axis in (0, 1))
                if map_.shape[0] <= 8:
                    break
                map_ = F.avg_pool2d(map_[None], 2)[0]
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
