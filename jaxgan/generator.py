"""Defines the StyleGAN2 generator: a mapping network from z to ws and a synthesis network from ws to an image.

Everything is written for one example; `jax.vmap(generator.synthesis)` makes a batch of it.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, arXiv 1912.04958 (Figs. 2 and 7).
  Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, arXiv 2006.06676.
"""

from __future__ import annotations

import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, DTypeLike, Float

from jaxgan import ops, surroundings
from jaxgan.convolutions import Plan, conv2d
from jaxgan.generator_config import GeneratorConfig
from jaxgan.precision import prescale

Noise = Literal["const", "none"] | tuple[Float[Array, "_ _"], ...]


def as_rgb(image: Float[Array, "h w c"]) -> Float[Array, "h w 3"]:
    """Returns the colours of a network's image: grey (1 channel) is repeated, alpha (the last of 4) is left off."""
    return jnp.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]


class Buffer(nnx.Variable):
    """An array of a network that no optimiser should train, such as a stored noise map or the mean latent."""


class Dense(nnx.Module):
    """A linear dense layer with an equalised learning rate."""

    def __init__(
        self, in_features: int, out_features: int, *, lr_multiplier: float = 1.0, bias: float = 0.0, rngs: nnx.Rngs
    ):
        self.lr_multiplier = lr_multiplier
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (in_features, out_features)) / lr_multiplier)
        self.bias = nnx.Param(jnp.full(out_features, bias / lr_multiplier, jnp.float32))

    def __call__(self, x: Float[Array, " i"]) -> Float[Array, " o"]:
        return ops.dense(x, self.kernel[...], self.bias[...], lr_multiplier=self.lr_multiplier)


class MappingNetwork(nnx.Module):
    """Maps a Gaussian latent (and a class label) to the intermediate latent space W."""

    def __init__(self, config: GeneratorConfig, *, rngs: nnx.Rngs):
        self.config = config
        features = config.z_dim
        if config.c_dim:
            embedded = config.embed_features or config.w_dim
            self.embed = Dense(config.c_dim, embedded, rngs=rngs)
            features += embedded
        for index, width in enumerate(config.mapping_widths):
            layer = Dense(features, width, lr_multiplier=config.mapping_lr_multiplier, rngs=rngs)
            setattr(self, f"fc{index}", layer)
            features = width
        self.w_avg = Buffer(jnp.zeros(config.w_dim))

    def __call__(
        self,
        z: Float[Array, " z_dim"],
        c: Float[Array, " c_dim"] | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Array, "num_ws w_dim"]:
        """Maps one latent.

        Args:
          z: a standard normal latent.
          c: a label, e.g. one-hot. Class-conditional networks require it, and all others refuse it.
          truncation_psi: 1 keeps w and 0 gives the mean latent; values between move w towards the mean.
          truncation_cutoff: the number of first rows that are truncated; None truncates all.
        Returns:
          The latent w in every row, truncated in the first rows.
        Raises:
          ValueError: a shape does not fit the network, or `c` is missing or unwanted.
        """
        config = self.config
        if z.shape != (config.z_dim,):
            raise ValueError(
                f"z has shape {z.shape}; this generator takes one z of shape ({config.z_dim},), use jax.vmap for more."
            )
        if (c is None) != (config.c_dim == 0):
            wanted = f"a label c of shape ({config.c_dim},)" if config.c_dim else "no label, c must be None"
            raise ValueError(f"c is {'missing' if c is None else 'given'}; this generator takes {wanted}.")
        x = ops.normalize_2nd_moment(z)
        if c is not None:
            if c.shape != (config.c_dim,):
                raise ValueError(f"c has shape {c.shape}; this generator takes ({config.c_dim},).")
            x = jnp.concatenate([x, ops.normalize_2nd_moment(self.embed(c))])
        for index in range(config.mapping_layers):
            x = ops.leaky_relu(getattr(self, f"fc{index}")(x))
        w_avg = self.w_avg[...]
        cutoff = config.num_ws if truncation_cutoff is None else truncation_cutoff
        psi = jnp.where(jnp.arange(config.num_ws) < cutoff, truncation_psi, 1.0)  # [num_ws]
        truncated = w_avg[None, :] + psi[:, None] * (x - w_avg)[None, :]
        return jnp.where(psi[:, None] == 1.0, x[None, :], truncated)


class SynthesisLayer(nnx.Module):
    """A modulated 3x3 convolution, followed by noise, bias and leaky ReLU (StyleGAN2, Fig. 2d).

    The layer returns the number format of `x`. The convolution is computed in that format, the rest in float32.
    """

    plan: Plan | None = None  # see `convolutions.prepare`

    def __init__(
        self, config: GeneratorConfig, in_channels: int, out_channels: int, resolution: int, *, up: bool, rngs: nnx.Rngs
    ):
        self.up = up
        self.conv_clamp = config.conv_clamp
        self.resample_filter = config.resample_filter
        self.affine = Dense(config.w_dim, in_channels, bias=1.0, rngs=rngs)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (3, 3, in_channels, out_channels)))
        self.bias = nnx.Param(jnp.zeros(out_channels))
        self.noise_strength = nnx.Param(jnp.zeros(()))
        self.noise_const = Buffer(jax.random.normal(rngs.params(), (resolution, resolution)))

    def __call__(
        self,
        x: Float[Array, "h w i"],
        w: Float[Array, " w_dim"],
        noise: Float[Array, "H W"] | None,
        *,
        gain: float = 1.0,
    ) -> Float[Array, "H W o"]:
        kernel = self.kernel[...]
        styles = self.affine(w)
        dtype, scale = x.dtype, ops.demodulation(kernel, styles)
        if dtype != kernel.dtype:
            kernel, styles, undo = prescale(kernel, styles)
            scale = scale * undo
        around = surroundings.of(self.plan)
        x = around.modulate(x, styles)
        if self.up:
            x = ops.up_conv2d(x, kernel, self.resample_filter, self.plan)
        else:
            x = conv2d(x, kernel.astype(dtype), self.plan)
        added = jnp.zeros(x.shape[:2], scale.dtype) if noise is None else self.noise_strength[...] * noise
        limit = None if self.conv_clamp is None else self.conv_clamp * gain
        return around.finish(x, scale, added, self.bias[...], gain * math.sqrt(2), limit)  # [H, W, o]


class ToRGB(nnx.Module):
    """A modulated 1x1 convolution to image channels, without demodulation."""

    plan: Plan | None = None

    def __init__(self, config: GeneratorConfig, in_channels: int, *, rngs: nnx.Rngs):
        self.conv_clamp = config.conv_clamp
        self.affine = Dense(config.w_dim, in_channels, bias=1.0, rngs=rngs)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (1, 1, in_channels, config.image_channels)))
        self.bias = nnx.Param(jnp.zeros(config.image_channels))

    def __call__(self, x: Float[Array, "h w i"], w: Float[Array, " w_dim"]) -> Float[Array, "h w c"]:
        kernel = self.kernel[...][0, 0]  # [i, c]
        styles = self.affine(w) / math.sqrt(kernel.shape[0])
        # With three outputs the kernel is cheaper to modulate than `x`.
        rgb = surroundings.of(self.plan).to_colours(x, kernel * styles[:, None])
        return ops.clamp(rgb + self.bias[...][None, None, :], self.conv_clamp)


class SkipConvolution(nnx.Module):
    """A 1x1 convolution and up-sampling by 2 on the residual path of the "resnet" architecture."""

    def __init__(self, config: GeneratorConfig, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        self.resample_filter = config.resample_filter
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (1, 1, in_channels, out_channels)))

    def __call__(self, x: Float[Array, "h w i"], *, gain: float) -> Float[Array, "2*h 2*w o"]:
        kernel = self.kernel[...][0, 0]  # [i, o]
        kernel = kernel * (gain / math.sqrt(kernel.shape[0]))
        return ops.upsample2d(x @ kernel.astype(x.dtype), self.resample_filter)


class SynthesisBlock(nnx.Module):
    """The layers of one resolution. The 4x4 block starts from a learned constant, the others from an up-convolution."""

    def __init__(self, config: GeneratorConfig, resolution: int, *, rngs: nnx.Rngs):
        self.architecture = config.architecture
        self.resample_filter = config.resample_filter
        self.is_first = resolution == 4
        self.has_torgb = config.architecture == "skip" or resolution == config.resolution
        self.has_skip = config.architecture == "resnet" and not self.is_first
        channels = config.channels(resolution)
        if self.is_first:
            self.const = nnx.Param(jax.random.normal(rngs.params(), (4, 4, channels)))
        else:
            before = config.channels(resolution // 2)
            self.conv0 = SynthesisLayer(config, before, channels, resolution, up=True, rngs=rngs)
        self.conv1 = SynthesisLayer(config, channels, channels, resolution, up=False, rngs=rngs)
        if self.has_skip:
            self.skip = SkipConvolution(config, before, channels, rngs=rngs)
        if self.has_torgb:
            self.torgb = ToRGB(config, channels, rngs=rngs)

    @property
    def num_convs(self) -> int:
        """The number of 3x3 convolutions of this block; each has a row of `ws` and a noise map."""
        return 1 if self.is_first else 2

    def __call__(
        self,
        x: Float[Array, "h w i"],
        image: Float[Array, "h w c"] | None,
        ws: Float[Array, "rows w_dim"],
        noise: tuple[Float[Array, "H W"] | None, ...],
    ) -> tuple[Float[Array, "H W o"], Float[Array, "H W c"] | None]:
        """Runs the block.

        Args:
          x, image: the features and the image of the previous block; the first block takes `const` and None.
          ws: one row per convolution of this block, then the row of its ToRGB.
          noise: one map, or None, per convolution.
        """
        if self.is_first:
            x = self.conv1(x, ws[0], noise[0])
        elif self.has_skip:
            residual = self.skip(x, gain=math.sqrt(0.5))
            x = self.conv0(x, ws[0], noise[0])
            x = residual + self.conv1(x, ws[1], noise[1], gain=math.sqrt(0.5))
        else:
            x = self.conv1(self.conv0(x, ws[0], noise[0]), ws[1], noise[1])
        if image is not None:
            image = ops.upsample2d(image, self.resample_filter)
        if self.has_torgb:
            rgb = self.torgb(x, ws[self.num_convs])
            image = rgb if image is None else image + rgb
        return x, image


class SynthesisNetwork(nnx.Module):
    """The network that turns one w per layer, and noise maps, into an image."""

    b4: SynthesisBlock

    def __init__(self, config: GeneratorConfig, *, rngs: nnx.Rngs):
        self.config = config
        for resolution in config.block_resolutions:
            setattr(self, f"b{resolution}", SynthesisBlock(config, resolution, rngs=rngs))

    def __call__(
        self,
        ws: Float[Array, "num_ws w_dim"],
        noise: Noise = "const",
        *,
        dtype: DTypeLike = jnp.float32,
    ) -> Float[Array, "H W c"]:
        """Renders one image.

        Args:
          ws: one latent per layer.
          noise: "const" for the stored maps, "none", or one map per convolution, coarse to fine.
          dtype: the format of the features and of the kernels of the 3x3 convolutions (see `jaxgan.precision`).
        Returns:
          The float32 image, nominally in [-1, 1] but not clipped; RGB unless the network has 1 or 4 channels.
        Raises:
          ValueError: the shape of `ws` or of a noise map does not fit this generator.
        """
        image = self.block_outputs(ws, noise, dtype=dtype)[-1][1]
        assert image is not None  # the last block has a ToRGB
        return image

    def block_outputs(
        self,
        ws: Float[Array, "num_ws w_dim"],
        noise: Noise = "const",
        *,
        dtype: DTypeLike = jnp.float32,
    ) -> list[tuple[Float[Array, "h w o"], Float[Array, "h w c"] | None]]:
        """Lists the features and the image (None before the first ToRGB) after each block, coarse to fine."""
        config = self.config
        if ws.shape != (config.num_ws, config.w_dim):
            raise ValueError(
                f"ws has shape {ws.shape}; this generator (resolution {config.resolution}) takes "
                f"({config.num_ws}, {config.w_dim}). For one w in all layers "
                f"call latents.broadcast(w, num_ws={config.num_ws})."
            )
        maps = self._noise_maps(noise)
        x, image = self.b4.const[...].astype(dtype), None
        outputs, row = [], 0
        for resolution in config.block_resolutions:
            block = getattr(self, f"b{resolution}")
            rows = slice(row, row + block.num_convs + 1)  # the ToRGB shares its row with the next block
            x, image = block(x, image, ws[rows], maps[row : row + block.num_convs])
            row += block.num_convs
            outputs.append((x, image))
        return outputs

    def noise_const(self) -> tuple[Float[Array, "_ _"], ...]:
        """The stored noise maps, coarse to fine."""
        blocks = [getattr(self, f"b{resolution}") for resolution in self.config.block_resolutions]
        layers = [layer for block in blocks for layer in ([] if block.is_first else [block.conv0]) + [block.conv1]]
        return tuple(layer.noise_const[...] for layer in layers)

    def _noise_maps(self, noise: Noise) -> tuple[Float[Array, "_ _"] | None, ...]:
        shapes = self.config.noise_shapes
        if isinstance(noise, str):
            if noise not in ("const", "none"):
                raise ValueError(f"noise is {noise!r}; expected 'const', 'none' or a tuple of {len(shapes)} maps.")
            return self.noise_const() if noise == "const" else (None,) * len(shapes)
        found = tuple(tuple(map_.shape) for map_ in noise)
        if found != shapes:
            raise ValueError(f"noise maps have shapes {found}; this generator takes {shapes}.")
        return tuple(noise)


class Generator(nnx.Module):
    """A StyleGAN2 generator: its mapping network, its synthesis network and their configuration.

    `Generator(config, rngs=nnx.Rngs(0))` has random weights; `jaxgan.load_generator` reads trained ones.
    """

    def __init__(self, config: GeneratorConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.mapping = MappingNetwork(config, rngs=rngs)
        self.synthesis = SynthesisNetwork(config, rngs=rngs)
