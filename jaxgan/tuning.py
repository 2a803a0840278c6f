"""Implements pivotal tuning: the weights of a synthesis network are trained until a found latent fits the observation.

References:
  Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images", 2021, arXiv 2106.05744.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from jaxgan import latents as latents_lib
from jaxgan import optimization, tuning_steps
from jaxgan.degradations import Degradation
from jaxgan.generator import Generator
from jaxgan.latents import Latents
from jaxgan.lpips import LPIPS
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
    if observed.shape != generator.config.image_shape:
        raise ValueError(f"observed has shape {observed.shape}; this generator makes {generator.config.image_shape}.")
    optimization.check_chunk_steps(chunk_steps)
    target = tuning_steps.make_target(lpips, jnp.asarray(observed), degradation, size=config.feature_size)
    state, terms = (
        (tuning_steps.initial_state(generator, config), tuning_steps.no_terms(0))
        if resume_from is None
        else resume_from
    )
    while not tuning_steps.has_ended(config, state):
        before = int(state.step)
        state, chunk = tuning_steps.run_chunk(
            generator, lpips, degradation, target, pivot, key, state, config, np.int32(chunk_steps)
        )
        terms = _longer(terms, chunk, int(state.step) - before)
        if on_chunk is not None:
            on_chunk(state, terms)
    return _result(generator, pivot, state, terms)


def tune_batch(
    generator: Generator,
    lpips: LPIPS,
    observed: Float[Array, "n h w 3"],
    degradations: Degradation,
    pivots: Sequence[Pivot],
    config: TuningConfig,
    keys: Key[Array, " n"],
    *,
    chunk_steps: int = 25,
) -> list[TuningResult]:
    """Tunes a copy of the generator for each of several images: all at once on a GPU, one after the other on a CPU.

    Each image takes about four times the memory of the synthesis network's weights, which is 0.5 GB for a network of
    1024x1024 pixels. On a GPU it takes that of its step besides.

    Args:
      generator, lpips, config, chunk_steps: the same as in `tune`.
      observed: the observed images.
      degradations: one pytree whose leaves have a leading axis `n`.
      pivots, keys: one pivot and one key per image. All pivots are of one latent space.
    Returns:
      A result per image, each with the steps that it needed.
    Raises:
      FloatingPointError: the loss of an image is not finite.
    """
    count = len(observed)
    targets = jax.vmap(partial(tuning_steps.make_target, size=config.feature_size), (None, 0, 0))(
        lpips, observed, degradations
    )
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pivots)
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * count), tuning_steps.initial_state(generator, config))
    losses = [tuning_steps.no_terms(0)] * count
    while not all(tuning_steps.has_ended(config, _of(states, index)) for index in range(count)):
        before = np.asarray(states.step)
        states, chunk = tuning_steps.run_chunks(
            generator, lpips, degradations, targets, stacked, keys, states, config, np.int32(chunk_steps)
        )
        done = np.asarray(states.step) - before
        losses = [_longer(terms, _of(chunk, index), int(done[index])) for index, terms in enumerate(losses)]
    return [_result(generator, pivots[index], _of(states, index), losses[index]) for index in range(count)]


def interpolate(
    generators: tuple[Generator, Generator], pivots: tuple[Pivot, Pivot], t: float
) -> tuple[Generator, Pivot]:
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


def _result(generator: Generator, pivot: Pivot, state: TuningState, terms: TuningTerms) -> TuningResult:
    tuned = tuning_steps.with_weights(generator, state.weights)
    return TuningResult(tuned, optimization.render(tuned, Latents(pivot.ws, pivot.noise)), terms, state)


def _of(tree: Any, index: int) -> Any:
    """Takes the part of one image out of stacked arrays."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def _longer(terms: TuningTerms, chunk: TuningTerms, done: int) -> TuningTerms:
    """Appends the losses of a chunk, of which so many steps were done.

    Raises:
      FloatingPointError: one is not finite.
    """
    own = jax.tree.map(lambda term: np.asarray(term[:done]), chunk)
    if not np.isfinite(own.total).all():
        row = int(np.argmin(np.isfinite(own.total)))
        raise FloatingPointError(f"the loss of tuning is {own.total[row]} at step {len(terms.total) + row}.")
    return jax.tree.map(lambda *parts: np.concatenate(parts), terms, own)


def _with_rows(pivot: Pivot, ndim: int, generator: Generator) -> Pivot:
    """Extends a pivot into the W+ or W++ space, whose latents have 2 or 3 axes."""
    space: latents_lib.LatentSpace = "w_plus_plus" if ndim == 3 else "w_plus"
    return pivot._replace(ws=latents_lib.extend(pivot.ws, latents_lib.space_shape(space, generator.config)))
