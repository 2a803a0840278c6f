"""The StyleGAN2 generator: mapping network z -> ws and synthesis network ws -> image.

Everything is written for one example; batch with `jax.vmap(generator.synthesis)`.

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

from jaxgan import ops
from jaxgan.convolutions import Plan, conv2d
from jaxgan.generator_config import GeneratorConfig
from jaxgan.precision import prescale

Noise = Literal["const", "none"] | tuple[Float[Array, "_ _"], ...]


def as_rgb(image: Float[Array, "h w c"]) -> Float[Array, "h w 3"]:
    """The colours of a network's image: grey (1 channel) is repeated, alpha (the last of 4) is left off."""
    return jnp.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]


class Buffer(nnx.Variable):
    """An array of a network that no optimiser should train: stored noise maps and the mean latent."""


class Dense(nnx.Module):
    """Dense layer with an equalised learning rate, linear."""

    def __init__(
        self, in_features: int, out_features: int, *, lr_multiplier: float = 1.0, bias: float = 0.0, rngs: nnx.Rngs
    ):
        self.lr_multiplier = lr_multiplier
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (in_features, out_features)) / lr_multiplier)
        self.bias = nnx.Param(jnp.full(out_features, bias / lr_multiplier, jnp.float32))

    def __call__(self, x: Float[Array, "*rows i"]) -> Float[Array, " o"]:
        dense = ops.dense if x.ndim == 1 else ops.dense_per_output
        return dense(x, self.kernel[...], self.bias[...], lr_multiplier=self.lr_multiplier)


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
          z: standard normal latent.
          c: label, e.g. one-hot; required by (and only accepted by) class-conditional networks.
          truncation_psi: 1 keeps w, 0 gives the mean latent, between the two w moves towards the mean.
          truncation_cutoff: truncate only this many first rows; None for all.
        Returns:
          The same w in every row, but for truncation.
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
    """Modulated 3x3 convolution, noise, bias and leaky ReLU (StyleGAN2, Fig. 2d).

    Computes and returns what `x` is: the convolution in its format, the rest in float32 before it is rounded.
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
        w: Float[Array, "*rows w_dim"],
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
        x, kernel = x * styles.astype(dtype)[None, None, :], kernel.astype(dtype)
        x = ops.up_conv2d(x, kernel, self.resample_filter, self.plan) if self.up else conv2d(x, kernel, self.plan)
        x = x * scale[None, None, :]  # [H, W, o], float32 from here on
        if noise is not None:
            x = x + self.noise_strength[...] * noise[:, :, None]
        x = ops.leaky_relu(x + self.bias[...][None, None, :], gain=gain * math.sqrt(2))
        return ops.clamp(x, None if self.conv_clamp is None else self.conv_clamp * gain).astype(dtype)


class ToRGB(nnx.Module):
    """Modulated 1x1 convolution to image channels, without demodulation."""

    def __init__(self, config: GeneratorConfig, in_channels: int, *, rngs: nnx.Rngs):
        self.conv_clamp = config.conv_clamp
        self.affine = Dense(config.w_dim, in_channels, bias=1.0, rngs=rngs)
        self.kernel = nnx.Param(jax.random.normal(rngs.params(), (1, 1, in_channels, config.image_channels)))
        self.bias = nnx.Param(jnp.zeros(config.image_channels))

    def __call__(self, x: Float[Array, "h w i"], w: Float[Array, "*rows w_dim"]) -> Float[Array, "h w c"]:
        kernel = self.kernel[...][0, 0]  # [i, c]
        styles = self.affine(w) / math.sqrt(kernel.shape[0])
        # Nothing is shared between examples but `kernel`: with three outputs it is cheaper to modulate than `x`.
        at_least_float32 = jnp.promote_types(x.dtype, jnp.float32)
        rgb = jnp.matmul(x, (kernel * styles[:, None]).astype(x.dtype), preferred_element_type=at_least_float32)
        return ops.clamp(rgb + self.bias[...][None, None, :], self.conv_clamp)


class SkipConvolution(nnx.Module):
    """1x1 convolution and up-sampling by 2 on the residual path of the "resnet" architecture."""

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
        """3x3 convolutions of this block, each with a row of `ws` and a noise map."""
        return 1 if self.is_first else 2

    def __call__(
        self,
        x: Float[Array, "h w i"],
        image: Float[Array, "h w c"] | None,
        ws: Float[Array, "layers *rows w_dim"],
        noise: tuple[Float[Array, "H W"] | None, ...],
    ) -> tuple[Float[Array, "H W o"], Float[Array, "H W c"] | None]:
        """Runs the block.

        Args:
          x, image: features and image of the previous block; `const` and None in the first one.
          ws: one w (or, in the W++ space, its rows) per convolution of this block, then that of its ToRGB.
          noise: one map (or None) per convolution.
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
    """Turns one w per layer, and noise maps, into an image."""

    b4: SynthesisBlock

    def __init__(self, config: GeneratorConfig, *, rngs: nnx.Rngs):
        self.config = config
        for resolution in config.block_resolutions:
            setattr(self, f"b{resolution}", SynthesisBlock(config, resolution, rngs=rngs))

    def __call__(
        self,
        ws: Float[Array, "num_ws *rows w_dim"],
        noise: Noise = "const",
        *,
        dtype: DTypeLike = jnp.float32,
    ) -> Float[Array, "H W c"]:
        """Renders one image.

        Args:
          ws: one latent per layer or, in the W++ space, one per input channel of a layer, `[num_ws, rows, w_dim]` with
            `config.w_plus_plus_rows`: style k of a layer is computed from its row k.
          noise: "const" for the stored maps, "none", or one map per convolution, coarse to fine.
          dtype: of the features and of the kernels of the 3x3 convolutions (see `jaxgan.precision`).
        Returns:
          float32 image, RGB, nominally in [-1, 1]; not clipped.
        Raises:
          ValueError: the shape of `ws` or of a noise map does not fit this generator.
        """
        image = self.block_outputs(ws, noise, dtype=dtype)[-1][1]
        assert image is not None  # the last block has a ToRGB
        return image

    def block_outputs(
        self,
        ws: Float[Array, "num_ws *rows w_dim"],
        noise: Noise = "const",
        *,
        dtype: DTypeLike = jnp.float32,
    ) -> list[tuple[Float[Array, "h w o"], Float[Array, "h w c"] | None]]:
        """Features and image (None before the first ToRGB) after each block, coarse to fine."""
        config = self.config
        if ws.shape not in ((config.num_ws, config.w_dim), (config.num_ws, config.w_plus_plus_rows, config.w_dim)):
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
    """Mapping and synthesis network with their configuration.

    `Generator(config, rngs=nnx.Rngs(0))` has random weights; `jaxgan.load_generator` reads trained ones.
    """

    def __init__(self, config: GeneratorConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.mapping = MappingNetwork(config, rngs=rngs)
        self.synthesis = SynthesisNetwork(config, rngs=rngs)
