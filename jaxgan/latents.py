"""What inversion optimises: a latent w (or several, in the W+ and W++ spaces) and the noise maps; their statistics.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, Appendix D, arXiv 1912.04958.
  Abdal et al., "Image2StyleGAN", 2019, arXiv 1904.03189 (the W+ space).
  Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, arXiv 2302.06733 (the W++ space).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxgan import precision
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig

LatentSpace = Literal["w", "w_plus", "w_plus_plus"]
"""One latent for all layers, one per layer, or one per input channel of every layer."""

NoiseMaps = tuple[Float[Array, "_ _"], ...]


class Latents(NamedTuple):
    """The optimised variables of one image.

    Attributes:
      w: `[w_dim]` in the W space, `[num_ws, w_dim]` in W+, `[num_ws, rows, w_dim]` in W++ (see `space_shape`).
      noise: one map `[res, res]` per convolution, coarse to fine; empty for the network's stored maps, which are then
        not optimised.
    """

    w: Float[Array, "*rows w_dim"]
    noise: NoiseMaps


class WStatistics(NamedTuple):
    """Mean and spread of the mapping network's output.

    Attributes:
      w_avg: mean latent `[w_dim]`.
      w_std: one number, the root of the summed variances over all dimensions.
    """

    w_avg: Float[Array, " w_dim"]
    w_std: Float[Array, ""]


def w_statistics(
    generator: Generator, *, samples: int = 10_000, seed: int = 123, label: int | None = None
) -> WStatistics:
    """Estimates mean and spread of w over standard normal z, drawn as the reference projector draws them.

    Args:
      generator: the network.
      samples: number of z.
      seed: of NumPy's legacy `numpy.random.RandomState`, so that the numbers equal those of the reference.
      label: class of a class-conditional network, from 0; None takes all its classes in turn.
    Raises:
      ValueError: the network has no such class.
    """
    ws = mapped_samples(generator, samples=samples, seed=seed, label=label)
    w_avg = jnp.mean(ws, 0)
    return WStatistics(w_avg, jnp.sqrt(jnp.sum((ws - w_avg[None, :]) ** 2) / ws.shape[0]))


def mapped_samples(
    generator: Generator, *, samples: int, seed: int = 123, label: int | None = None
) -> Float[Array, "n w_dim"]:
    """Maps standard normal z to latents w, as `w_statistics` does."""
    z = jnp.asarray(np.random.RandomState(seed).randn(samples, generator.config.z_dim), jnp.float32)
    return map_z(generator, z, label=label)


def map_z(generator: Generator, z: Float[Array, "n z_dim"], *, label: int | None = None) -> Float[Array, "n w_dim"]:
    """Maps several z to latents w.

    Args:
      generator: the network.
      z: the input latents.
      label: see `w_statistics`.
    """
    config, samples = generator.config, len(z)
    check_label(generator, label)
    classes = jnp.arange(samples) % config.c_dim if label is None and config.c_dim else jnp.full(samples, label or 0)
    labels = jnp.eye(config.c_dim)[classes] if config.c_dim else None
    return _map(generator, z, labels)


def check_label(generator: Generator, label: int | None) -> None:
    """Raises ValueError if a label is given that a network does not have."""
    classes = generator.config.c_dim
    if label is not None and not classes:
        raise ValueError(f"label is {label}; this generator is not class-conditional, leave the label away.")
    if label is not None and not 0 <= label < classes:
        raise ValueError(f"label is {label}; this generator has the labels 0 to {classes - 1}.")


@jax.jit
def _map(
    generator: Generator, z: Float[Array, "n z_dim"], labels: Float[Array, "n c_dim"] | None
) -> Float[Array, "n w_dim"]:
    with precision.products("float32"):
        return jax.vmap(generator.mapping)(z, labels)[:, 0]


def space_shape(space: LatentSpace, config: GeneratorConfig) -> tuple[int, ...]:
    """Returns the shape of the latents of one image in a space.

    The latents of W++ are 4.7 million numbers (19 MB) for a network of 1024x1024 pixels. Beside the activations, an
    inversion holds about four times as many: the iterate, the best one, a gradient and an update.
    """
    rows = {"w": (), "w_plus": (config.num_ws,), "w_plus_plus": (config.num_ws, config.w_plus_plus_rows)}[space]
    return (*rows, config.w_dim)


def extend(w: Float[Array, "*rows w_dim"], shape: tuple[int, ...]) -> Float[Array, "*more w_dim"]:
    """Repeats latents into a larger space, where they stand for the same image.

    Args:
      w: latents of any space.
      shape: the shape of latents in the same space or in a larger one, see `space_shape`.
    """
    while w.ndim < len(shape):
        w = jnp.expand_dims(w, -2)
    return jnp.broadcast_to(w, shape)


def broadcast(w: Float[Array, "*rows w_dim"], *, num_ws: int) -> Float[Array, "num_ws *more w_dim"]:
    """Repeats one w for all layers; latents of the W+ and W++ spaces are returned as they are."""
    return jnp.broadcast_to(w[None, :], (num_ws, w.shape[0])) if w.ndim == 1 else w


def sample_noise(key: PRNGKeyArray, shapes: tuple[tuple[int, int], ...]) -> NoiseMaps:
    """Standard normal noise maps of the given shapes."""
    return tuple(
        jax.random.normal(k, shape) for k, shape in zip(jax.random.split(key, len(shapes)), shapes, strict=True)
    )


def normalize_noise(noise: NoiseMaps) -> NoiseMaps:
    """Brings every map to mean 0 and mean square 1."""
    centred = [map_ - jnp.mean(map_) for map_ in noise]
    return tuple(map_ * jax.lax.rsqrt(jnp.mean(map_**2)) for map_ in centred)
