"""Describes the shape of a StyleGAN2 generator.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, arXiv 1912.04958 (Table 1 and Fig. 7).
"""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class GeneratorConfig:
    """The shape of a generator, and the origin of its weights.

    Attributes:
      resolution: height and width of the image, a power of two from 4.
      z_dim, c_dim, w_dim: sizes of the input latent, of the class label (0: unconditional), of the mapped latent.
      mapping_layers: number of dense layers of the mapping network.
      mapping_features: width between these layers, or None for `w_dim`.
      embed_features: width of the embedded label, or None for `w_dim`.
      mapping_lr_multiplier: learning-rate multiplier of the mapping layers, which scales the stored weights.
      channel_base, channel_max: a block of resolution r has min(channel_base // r, channel_max) channels.
      image_channels: number of channels of the image: 1 for grey, 3 for RGB, 4 for RGB and alpha.
      architecture: "skip" sums an RGB image over blocks, "resnet" has residual blocks, and "orig" has neither (Fig. 7).
      conv_clamp: largest magnitude of activations, which networks trained in half precision have, or None.
      resample_filter: taps of the up-sampling filter, which are normalised to sum 1 where they are used.
      alignment_scale: size of the face crop the network was trained on, relative to that of FFHQ.
      source, source_sha256: name and digest of the file the weights were converted from.
    """

    resolution: int
    z_dim: int = 512
    c_dim: int = 0
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    channel_base: int = 32768
    channel_max: int = 512
    image_channels: int = 3
    architecture: Literal["skip", "resnet", "orig"] = "skip"
    conv_clamp: float | None = None
    resample_filter: tuple[float, ...] = (1.0, 3.0, 3.0, 1.0)
    alignment_scale: float = 1.0
    source: str = ""
    source_sha256: str = ""
    mapping_features: int | None = None
    embed_features: int | None = None

    def __post_init__(self):
        problems = []
        if self.resolution < 4 or self.resolution & (self.resolution - 1):
            problems.append(f"resolution must be a power of two of at least 4, got {self.resolution}")
        if self.architecture not in ("skip", "resnet", "orig"):
            problems.append(f"architecture must be 'skip', 'resnet' or 'orig', got {self.architecture!r}")
        for name in ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max"):
            if getattr(self, name) < 1:
                problems.append(f"{name} must be positive, got {getattr(self, name)}")
        if self.image_channels not in (1, 3, 4):
            problems.append(f"image_channels must be 1, 3 or 4, got {self.image_channels}")
        for name in ("mapping_features", "embed_features"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                problems.append(f"{name} must be positive or None, got {getattr(self, name)}")
        if self.c_dim < 0:
            problems.append(f"c_dim must not be negative, got {self.c_dim}")
        if self.conv_clamp is not None and not self.conv_clamp > 0:
            problems.append(f"conv_clamp must be positive or None, got {self.conv_clamp}")
        if len(self.resample_filter) < 2 or not sum(self.resample_filter) > 0:
            problems.append(f"resample_filter needs two or more taps of positive sum, got {self.resample_filter}")
        if not self.alignment_scale > 0:
            problems.append(f"alignment_scale must be positive, got {self.alignment_scale}")
        if problems:
            raise ValueError("GeneratorConfig: " + "; ".join(problems))

    @classmethod
    def config_e(cls, resolution: int = 256) -> GeneratorConfig:
        """Returns the paper's configuration E, which has half the channels of F in large blocks."""
        return cls(resolution, channel_base=16384)

    @classmethod
    def config_f(cls, resolution: int = 1024) -> GeneratorConfig:
        """Returns the paper's configuration F, the large network that was trained on FFHQ at 1024x1024."""
        return cls(resolution, channel_base=32768)

    @property
    def block_resolutions(self) -> tuple[int, ...]:
        """The resolutions of the blocks: 4, 8, ..., `resolution`."""
        return tuple(2**k for k in range(2, self.resolution.bit_length()))

    @property
    def num_ws(self) -> int:
        """The number of rows of `ws`: one per convolution and one for the last ToRGB, `2 log2(resolution) - 2`."""
        return 2 * len(self.block_resolutions)

    @property
    def mapping_widths(self) -> tuple[int, ...]:
        """The number of outputs of each mapping layer, in order."""
        return (self.mapping_features or self.w_dim,) * (self.mapping_layers - 1) + (self.w_dim,)

    @property
    def noise_shapes(self) -> tuple[tuple[int, int], ...]:
        """The shapes of the noise maps, one per 3x3 convolution, coarse to fine."""
        return tuple((r, r) for r in self.block_resolutions for _ in range(1 if r == 4 else 2))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of observed images, `(resolution, resolution, 3)`; they are RGB for every network."""
        return (self.resolution, self.resolution, 3)

    def channels(self, resolution: int) -> int:
        """Returns the number of channels of the block of a resolution."""
        return min(self.channel_base // resolution, self.channel_max)
