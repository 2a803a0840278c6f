"""Implements pivotal tuning: the weights of a synthesis network are trained until a found latent fits the observation.

References:
  Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images", 2021, arXiv 2106.05744.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from jaxgan import images, loop, optimization, tuning_steps
from jaxgan import latents as latents_lib
from jaxgan.degradations import Degradation
from jaxgan.generator import Generator
from jaxgan.latents import Latents
from jaxgan.lpips import LPIPS
from jaxgan.tuning_image import TuningImage
from jaxgan.tuning_steps import Pivot, TuningConfig, TuningState, TuningTerms


class TuningResult(NamedTuple):
    """The outcome of a tuning.

    Attributes:
      generator: the tuned network, a copy of the one that was given.
      image: its image of the pivot, `[H, W, 3]`, neither degraded nor clipped.
      losses: every term of every step, each `[steps]`.
      state: the state that the tuning ended in.
    """

    generator: Generator
    image: Float[Array, "h w 3"]
    losses: TuningTerms
    state: TuningState


def tune(
    generator: Generator,
    lpips: LPIPS,
    observed: Float[Array, "h w 3"],
    degradation: Degradation,
    pivot: Pivot,
    config: TuningConfig,
    key: PRNGKeyArray,
    *,
    resume_from: tuple[TuningState, TuningTerms] | None = None,
    chunk_steps: int = 25,
    on_chunk: Callable[[TuningState, TuningTerms], None] | None = None,
) -> TuningResult:
    """Trains a copy of a generator until the image of fixed latents, degraded, looks like an observed image.

    Args:
      generator: the network that the latents were found with, which stays as it is.
      lpips: the distance.
      observed: the (already degraded) image in [-1, 1], RGB at the generator's resolution.
      degradation: the operator that is assumed to have made the observed image.
      pivot: the latents, `Pivot(result.ws, result.noise)` of an inversion.
      config: the constants of the optimisation.
      key: the key of the random latents beside the pivot.
      resume_from: the state and losses that an earlier call with the same arguments passed to `on_chunk`. The run
        continues to the bit-identical result. `tuning_files` saves and loads them.
      chunk_steps: the number of steps between two returns to Python.
      on_chunk: a function that is called after every chunk with the state and all losses so far.
    Returns:
      The tuned network, its image and the losses.
    Raises:
      ValueError: the observation does not fit the generator, or `chunk_steps` is out of range.
      FloatingPointError: the loss is not finite; the message has the step.
    """
    image = TuningImage(observed, degradation, pivot, config, key, resume_from)
    (result,) = _tune(generator, lpips, [image], size=1, chunk_steps=chunk_steps, on_chunk=on_chunk)
    return result


def tune_batch(
    generator: Generator,
    lpips: LPIPS,
    observed: Float[Array, "n h w 3"],
    degradations: Degradation,
    pivots: Sequence[Pivot],
    config: TuningConfig,
    keys: Key[Array, " n"],
    *,
    size: int | None = None,
    chunk_steps: int = 25,
) -> list[TuningResult]:
    """Tunes a copy of the generator for each of several images, all at once or `size` at a time.

    Each image takes about four times the memory of the synthesis network's weights, which is 0.5 GB for a network of
    1024x1024 pixels, besides that of its step.

    Args:
      generator, lpips, config, chunk_steps: the same as in `tune`.
      observed: the observed images.
      degradations: one pytree whose leaves have a leading axis `n`.
      pivots, keys: one pivot and one key per image. All pivots are of one latent space.
      size: the number of images at once; None takes one on a CPU, where more are slower, and all of them elsewhere.
    Returns:
      A result per image, each with the steps that it needed.
    Raises:
      ValueError: the observations do not fit the generator, or the arguments each other; or a number is out of range.
      FloatingPointError: the loss of an image is not finite; the message names the image and the step.
    """
    counts = {len(observed), len(pivots), len(keys), *(len(leaf) for leaf in jax.tree.leaves(degradations))}
    if len(counts) > 1:
        raise ValueError(f"expected as many images, degradations, pivots and keys, got {sorted(counts)}.")
    if len({pivot.ws.shape for pivot in pivots}) > 1:
        raise ValueError(f"expected pivots of one latent space, got {sorted({pivot.ws.shape for pivot in pivots})}.")
    upcoming = [
        TuningImage(observed[n], jax.tree.map(lambda leaf, n=n: leaf[n], degradations), pivot, config, keys[n], name=n)
        for n, pivot in enumerate(pivots)
    ]
    size = at_once(jax.devices()[:1], len(upcoming)) if size is None else min(size, len(upcoming))
    return [] if not upcoming else _tune(generator, lpips, upcoming, size=size, chunk_steps=chunk_steps)


def at_once(devices: Sequence[jax.Device], count: int) -> int:
    """Tells how many of so many images are best tuned at once: one on each CPU, where more are slower, or else all."""
    return len(devices) if devices[0].platform == "cpu" else count


def interpolate(generators: Sequence[Generator], pivots: Sequence[Pivot], t: float) -> tuple[Generator, Pivot]:
    """Interpolates linearly between two tuned networks and their pivots: latents, noise maps and weights together.

    Args:
      generators, pivots: two networks that were tuned from the same one, and their pivots. Latents are extended into
        the larger space of the two.
      t: the share of the second; 0 gives the first.
    """
    first, second = (tuning_steps.weights_of(generator.synthesis) for generator in generators)
    ends = (_with_rows(pivot, max(pivot.ws.ndim for pivot in pivots), generators[0]) for pivot in pivots)
    weights, pivot = jax.tree.map(lambda a, b: (1 - t) * a + t * b, *zip((first, second), ends, strict=True))
    return tuning_steps.with_weights(generators[0], weights), pivot


def result_of(generator: Generator, image: TuningImage) -> TuningResult:
    """Makes the outcome of a tuning from what it has reached."""
    assert image.reached is not None
    state, losses = image.reached
    tuned = tuning_steps.with_weights(generator, jax.tree.map(jnp.asarray, state.weights))
    pivot = image.pivot
    return TuningResult(tuned, optimization.render(tuned, Latents(pivot.ws, pivot.noise)), losses, state)


def _tune(
    generator: Generator,
    lpips: LPIPS,
    upcoming: Sequence[TuningImage],
    *,
    size: int,
    chunk_steps: int,
    on_chunk: Callable[[TuningState, TuningTerms], None] | None = None,
) -> list[TuningResult]:
    """Tunes for images; returns their results in order."""
    for image in upcoming:
        images.check_image(image.observed, "observed")
        if image.observed.shape != generator.config.image_shape:
            raise ValueError(
                f"observed has shape {image.observed.shape}; this generator makes {generator.config.image_shape}."
            )
    optimization.check_chunk_steps(chunk_steps)
    reached = {image.name: image for image in upcoming}
    left = [image for image in upcoming if not image.is_done]
    program = tuning_steps.run_chunks
    for chunk in loop.run(generator, lpips, left, size=size, chunk_steps=lambda _: chunk_steps, program=program):
        for progress in chunk.progresses:
            if progress.error is not None:
                where = "tuning" if progress.image.name is None else f"tuning for image {progress.image.name}"
                raise FloatingPointError(f"{where}: {progress.error}")
            if on_chunk is not None:
                on_chunk(progress.state, progress.losses)
            if progress.is_done:
                reached[progress.image.name] = progress.then()
    return [result_of(generator, image) for image in reached.values()]


def _with_rows(pivot: Pivot, ndim: int, generator: Generator) -> Pivot:
    """Extends a pivot into the W+ or W++ space, whose latents have 2 or 3 axes."""
    space: latents_lib.LatentSpace = "w_plus_plus" if ndim == 3 else "w_plus"
    return pivot._replace(ws=latents_lib.extend(pivot.ws, latents_lib.space_shape(space, generator.config)))
