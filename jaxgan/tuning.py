"""Implements pivotal tuning: the weights of a synthesis network are trained until a found latent fits the observation.

References:
  Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images", 2021, arXiv 2106.05744.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key, PRNGKeyArray

from jaxgan import latents as latents_lib
from jaxgan import losses, precision
from jaxgan.convolutions import prepare
from jaxgan.degradations import Degradation, observe, pytree
from jaxgan.generator import Generator, SynthesisNetwork, as_rgb
from jaxgan.latents import NoiseMaps
from jaxgan.lpips import LPIPS, Features, distance

LONGEST_CHUNK = 1000
"""A call of `run_chunk` has room for the losses of so many steps."""

Weights = dict[str, Float[Array, "..."]]
"""The trained arrays of a synthesis network, as {"b4/conv1/kernel": array, ...}."""


@pytree
@dataclasses.dataclass(frozen=True)
class TuningConfig:
    """The constants of pivotal tuning; a pytree, whose numbers a compiled tuning takes any values of.

    Attributes:
      steps: the largest number of steps.
      learning_rate, adam_b1, adam_b2, adam_eps: Adam's constants.
      stop_at: the LPIPS distance to the observation at which the tuning stops; the paper's .06 is that of AlexNet.
      locality_weight: the weight of the loss that keeps the network as it was beside the pivot.
      locality_distance: the distance from the pivot, in the direction of a random w, at which that loss compares.
      feature_size: the size that larger images are averaged down to before they are compared.
    """

    steps: int = 350
    learning_rate: float = 3e-4
    adam_b1: float = 0.9
    adam_b2: float = 0.999
    adam_eps: float = 1e-8
    stop_at: float = 0.03
    locality_weight: float = 0.1
    locality_distance: float = 30.0
    feature_size: int = dataclasses.field(default=256, metadata={"static": True})

    def __post_init__(self):
        problems = []
        for name in ("steps", "feature_size"):
            if getattr(self, name) < 1:
                problems.append(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "adam_eps"):
            if not 0 < getattr(self, name) < math.inf:
                problems.append(f"{name} must be positive and finite, got {getattr(self, name)}")
        for name in ("stop_at", "locality_weight", "locality_distance"):
            if not 0 <= getattr(self, name) < math.inf:
                problems.append(f"{name} must not be negative, got {getattr(self, name)}")
        if problems:
            raise ValueError("TuningConfig: " + "; ".join(problems))


class Pivot(NamedTuple):
    """The fixed latents that the tuned network is to render the observation from.

    Attributes:
      ws: the latents `[num_ws, w_dim]`, or `[num_ws, rows, w_dim]` of the W++ space.
      noise: one noise map per convolution.
    """

    ws: Float[Array, "num_ws *rows w_dim"]
    noise: NoiseMaps


class TuningTerms(NamedTuple):
    """The terms of the loss that a step minimised.

    Attributes:
      total: the sum of the others, of which the locality counts `locality_weight` times.
      perceptual, squared_error: LPIPS and the mean squared error between the degraded image and the observation.
      locality: the same two, summed, between the tuned and the untuned network's image of a latent beside the pivot.
    """

    total: Float[Array, "*n"]
    perceptual: Float[Array, "*n"]
    squared_error: Float[Array, "*n"]
    locality: Float[Array, "*n"]


class TuningState(NamedTuple):
    """Everything that changes from step to step.

    Attributes:
      step: the number of steps done.
      is_done: whether LPIPS is as low as was asked for. The step that found it changed no weight.
      weights: the weights of the tuned network.
      optimizer: Adam's moments.
    """

    step: Int[Array, ""]
    is_done: Bool[Array, ""]
    weights: Weights
    optimizer: optax.ScaleByAdamState


class Target(NamedTuple):
    """An observation as it is compared.

    Attributes:
      image: the image, at most as large as the feature size.
      features: its LPIPS features.
    """

    image: Float[Array, "_ _ 3"]
    features: Features


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
    if not 1 <= chunk_steps <= LONGEST_CHUNK:
        raise ValueError(f"chunk_steps is {chunk_steps}; expected 1 to {LONGEST_CHUNK}")
    target = _target(lpips, jnp.asarray(observed), degradation, size=config.feature_size)
    state, terms = (initial_state(generator, config), _no_terms(0)) if resume_from is None else resume_from
    while not has_ended(config, state):
        before = int(state.step)
        state, chunk = run_chunk(
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
    """Tunes a copy of the generator for each of several images, all at once.

    Beside the memory of its step, each image takes about four times that of the synthesis network's weights, which is
    0.5 GB for a network of 1024x1024 pixels.

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
    targets = jax.vmap(partial(_target, size=config.feature_size), (None, 0, 0))(lpips, observed, degradations)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pivots)
    states = jax.tree.map(lambda leaf: jnp.stack([leaf] * count), initial_state(generator, config))
    losses = [_no_terms(0)] * count
    while not all(has_ended(config, _of(states, index)) for index in range(count)):
        before = np.asarray(states.step)
        states, chunk = _run_chunks(
            generator, lpips, degradations, targets, stacked, keys, states, config, np.int32(chunk_steps)
        )
        done = np.asarray(states.step) - before
        losses = [_longer(terms, _of(chunk, index), int(done[index])) for index, terms in enumerate(losses)]
    return [_result(generator, pivots[index], _of(states, index), losses[index]) for index in range(count)]


def _result(generator: Generator, pivot: Pivot, state: TuningState, terms: TuningTerms) -> TuningResult:
    tuned = with_weights(generator, state.weights)
    return TuningResult(tuned, _render(tuned, pivot), terms, state)


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


def _no_terms(length: int) -> TuningTerms:
    return TuningTerms(*(jnp.zeros(length) for _ in TuningTerms._fields))


def initial_state(generator: Generator, config: TuningConfig) -> TuningState:
    """Returns the state before the first step, with the network's own weights."""
    weights = weights_of(generator.synthesis)
    return TuningState(jnp.int32(0), jnp.bool_(False), weights, _adam(config).init(weights))


def has_ended(config: TuningConfig, state: TuningState) -> bool:
    """Tells whether a tuning is as near as was asked for, or has had all its steps."""
    return bool(state.is_done) or int(state.step) >= config.steps


def weights_of(synthesis: SynthesisNetwork) -> Weights:
    """Returns the weights of a synthesis network that are trained; stored noise maps are not among them."""
    return flatten_dict(nnx.to_pure_dict(nnx.state(synthesis, nnx.Param)), sep="/")


def with_weights(generator: Generator, weights: Mapping[str, Array]) -> Generator:
    """Copies a generator, with other weights in its synthesis network."""
    graphdef, state = nnx.split(generator.synthesis)
    state = jax.tree.map(lambda leaf: leaf, state)
    nnx.replace_by_pure_dict(state, unflatten_dict(dict(weights), sep="/"))
    tuned = jax.tree.map(lambda leaf: leaf, generator)
    tuned.synthesis = nnx.merge(graphdef, state)
    return tuned


@jax.jit
def run_chunk(
    generator: Generator,
    lpips: LPIPS,
    degradation: Degradation,
    target: Target,
    pivot: Pivot,
    key: PRNGKeyArray,
    state: TuningState,
    config: TuningConfig,
    chunk_steps: Int[ArrayLike, ""],
) -> tuple[TuningState, TuningTerms]:
    """Runs steps without returning to Python, at most as many as are left.

    Under `jax.vmap` each image has a network of its own.

    Returns:
      The state after the steps, and their losses of shape `[LONGEST_CHUNK]`, which are zero after the last step.
    """
    prepared = partial(prepare, platform=jax.default_backend(), batch=1)
    lpips, untuned = prepared(lpips), prepared(generator)

    def goes_on(carry: tuple[Int[Array, ""], TuningState, TuningTerms]) -> Bool[Array, ""]:
        index, state, _ = carry
        return (index < jnp.minimum(chunk_steps, LONGEST_CHUNK)) & (state.step < config.steps) & ~state.is_done

    def body(carry: tuple[Int[Array, ""], TuningState, TuningTerms]):
        index, state, terms = carry
        of_step = jax.random.fold_in(key, state.step)

        def loss(weights: Weights) -> tuple[Float[Array, ""], TuningTerms]:
            tuned = prepared(with_weights(generator, weights))
            terms = loss_terms((untuned, tuned), lpips, degradation, target, pivot, of_step, config)
            return terms.total, terms

        with precision.products("float32"):
            (_, step_terms), gradient = jax.value_and_grad(loss, has_aux=True)(state.weights)
        state = _after(state, gradient, step_terms.perceptual <= config.stop_at, config)
        return index + 1, state, jax.tree.map(lambda all_, term: all_.at[index].set(term), terms, step_terms)

    _, state, terms = jax.lax.while_loop(goes_on, body, (jnp.int32(0), state, _no_terms(LONGEST_CHUNK)))
    return state, terms


_run_chunks = jax.jit(jax.vmap(run_chunk, (None, None, 0, 0, 0, 0, 0, None, None)))


def _after(state: TuningState, gradient: Weights, is_done: Bool[Array, ""], config: TuningConfig) -> TuningState:
    """Returns the state after a step. A step that finds nothing left to do changes no weight."""
    updates, moments = _adam(config).update(gradient, state.optimizer)
    weights = jax.tree.map(lambda weight, update: weight - config.learning_rate * update, state.weights, updates)
    weights, moments = jax.tree.map(
        lambda new, old: jnp.where(is_done, old, new), (weights, moments), (state.weights, state.optimizer)
    )
    return TuningState(state.step + 1, is_done, weights, moments)


def loss_terms(
    networks: tuple[Generator, Generator],
    lpips: LPIPS,
    degradation: Degradation,
    target: Target,
    pivot: Pivot,
    key: PRNGKeyArray,
    config: TuningConfig,
) -> TuningTerms:
    """Computes all terms of the loss of a tuned network.

    Args:
      networks: the untuned and the tuned network.
      lpips, degradation, pivot, config: the same as in `tune`.
      target: the observation as it is compared.
      key: the key of the latent beside the pivot.
    """
    untuned, tuned = networks
    size = config.feature_size
    image = _at_most(observe(degradation, as_rgb(tuned.synthesis(pivot.ws, pivot.noise))), size)
    perceptual = distance(lpips.features(image), target.features)
    squared_error = jnp.mean((image - target.image) ** 2)
    beside = beside_pivot(untuned, pivot.ws, config.locality_distance, key)
    ours, theirs = (_at_most(as_rgb(one.synthesis(beside, pivot.noise)), size) for one in (tuned, untuned))
    locality = distance(lpips.features(ours), lpips.features(theirs)) + jnp.mean((ours - theirs) ** 2)
    total = perceptual + squared_error + config.locality_weight * locality
    return TuningTerms(total, perceptual, squared_error, locality)


def beside_pivot(
    generator: Generator, ws: Float[Array, "num_ws *rows w_dim"], far: Float[ArrayLike, ""], key: PRNGKeyArray
) -> Float[Array, "num_ws *rows w_dim"]:
    """Moves latents, each by the same distance, towards a random w.

    Args:
      generator: the network whose mapping gives the w, of a random class if it has classes.
      ws: the latents.
      far: the distance.
      key: the key of the random w.
    """
    config = generator.config
    of_z, of_class = jax.random.split(key)
    label = jax.nn.one_hot(jax.random.randint(of_class, (), 0, config.c_dim), config.c_dim) if config.c_dim else None
    w = generator.mapping(jax.random.normal(of_z, (config.z_dim,)), label)[0]
    way = jnp.broadcast_to(w, ws.shape) - ws
    length = jnp.linalg.norm(way, axis=-1, keepdims=True)
    return ws + far * way / jnp.maximum(length, 1e-12)


def interpolate(
    generators: tuple[Generator, Generator], pivots: tuple[Pivot, Pivot], t: float
) -> tuple[Generator, Pivot]:
    """Interpolates linearly between two tuned networks and their pivots: latents, noise maps and weights together.

    Args:
      generators, pivots: two networks that were tuned from the same one, and their pivots. Latents are extended into
        the larger space of the two.
      t: the share of the second; 0 gives the first.
    """
    first, second = (weights_of(generator.synthesis) for generator in generators)
    ends = (_with_rows(pivot, max(pivot.ws.ndim for pivot in pivots), generators[0]) for pivot in pivots)
    weights, pivot = jax.tree.map(lambda a, b: (1 - t) * a + t * b, *zip((first, second), ends, strict=True))
    return with_weights(generators[0], weights), pivot


def _with_rows(pivot: Pivot, ndim: int, generator: Generator) -> Pivot:
    """Extends a pivot into the W+ or W++ space, whose latents have 2 or 3 axes."""
    space: latents_lib.LatentSpace = "w_plus_plus" if ndim == 3 else "w_plus"
    return pivot._replace(ws=latents_lib.extend(pivot.ws, latents_lib.space_shape(space, generator.config)))


@partial(jax.jit, static_argnames="size")
def _target(lpips: LPIPS, observed: Float[Array, "h w 3"], degradation: Degradation, *, size: int) -> Target:
    image = _at_most(degradation.hide_missing(observed), size)
    with precision.products("float32"):
        return Target(image, lpips.features(image))


@jax.jit
def _render(generator: Generator, pivot: Pivot) -> Float[Array, "h w 3"]:
    with precision.products("float32"):
        return as_rgb(generator.synthesis(pivot.ws, pivot.noise))


def _adam(config: TuningConfig) -> optax.GradientTransformation:
    return optax.scale_by_adam(config.adam_b1, config.adam_b2, config.adam_eps)


def _at_most(image: Float[Array, "h w 3"], size: int) -> Float[Array, "_ _ 3"]:
    return losses.area_resize(image, size) if image.shape[0] > size else image
