"""The optimisation problem of pivotal tuning and its steps, compiled: what `jaxgan.tuning` runs.

References:
  Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images", 2021, arXiv 2106.05744.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Key, PRNGKeyArray

from jaxgan import losses, precision
from jaxgan.convolutions import prepare
from jaxgan.degradations import Degradation, observe, pytree
from jaxgan.generator import Generator, SynthesisNetwork, as_rgb
from jaxgan.inversion_config import is_count
from jaxgan.latents import NoiseMaps
from jaxgan.lpips import LPIPS, Features, distance
from jaxgan.optimization import LONGEST_CHUNK

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
            if not is_count(getattr(self, name)):
                problems.append(f"{name} must be a whole number of 1 or more, got {getattr(self, name)}")
        for name in ("learning_rate", "adam_eps"):
            if not 0 < getattr(self, name) < math.inf:
                problems.append(f"{name} must be positive and finite, got {getattr(self, name)}")
        for name in ("stop_at", "locality_weight", "locality_distance"):
            if not 0 <= getattr(self, name) < math.inf:
                problems.append(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("adam_b1", "adam_b2"):
            if not 0 <= getattr(self, name) < 1:
                problems.append(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
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


class TuningProblem(NamedTuple):
    """Everything that stays the same from step to step.

    Attributes:
      degradation: the operator that is assumed to have made the observation.
      target: the observation.
      pivot: the latents.
      config: the constants of the optimisation.
    """

    degradation: Degradation
    target: Target
    pivot: Pivot
    config: TuningConfig


@partial(jax.jit, static_argnames="size")
def make_target(lpips: LPIPS, observed: Float[Array, "h w 3"], degradation: Degradation, *, size: int) -> Target:
    """Prepares an observation for comparisons."""
    image = losses.at_most(degradation.hide_missing(observed), size)
    with precision.products("float32"):
        return Target(image, lpips.features(image))


def initial_state(generator: Generator, config: TuningConfig) -> TuningState:
    """Returns the state before the first step, with the network's own weights."""
    weights = weights_of(generator.synthesis)
    return TuningState(jnp.int32(0), jnp.bool_(False), weights, _adam(config).init(weights))


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


def run_chunks(
    generator: Generator,
    lpips: LPIPS,
    problems: TuningProblem,
    keys: Key[Array, " n"],
    states: TuningState,
    chunk_steps: Int[ArrayLike, ""],
    *,
    platform: str | None = None,
) -> tuple[TuningState, TuningTerms]:
    """Runs steps of several images at once, each of which has weights of its own, see `batch.Program`."""
    platform = jax.default_backend() if platform is None else platform
    run = partial(_run_chunk, generator, lpips, chunk_steps=chunk_steps, platform=platform)
    if len(keys) > 1:
        return jax.vmap(run)(problems, keys, states)
    # One image keeps plain convolutions: those whose kernels differ from image to image take half as long again.
    one = jax.tree.map(lambda leaf: leaf[0], (problems, keys, states))
    return jax.tree.map(lambda leaf: leaf[None], run(*one))


def _run_chunk(
    generator: Generator,
    lpips: LPIPS,
    problem: TuningProblem,
    key: PRNGKeyArray,
    state: TuningState,
    *,
    chunk_steps: Int[ArrayLike, ""],
    platform: str,
) -> tuple[TuningState, TuningTerms]:
    """Runs steps of one image, at most as many as are left."""
    config = problem.config
    prepared = partial(prepare, platform=platform, batch=1)
    lpips, untuned = prepared(lpips), prepared(generator)

    def goes_on(carry: tuple[Int[Array, ""], TuningState, TuningTerms]) -> Bool[Array, ""]:
        index, state, _ = carry
        return (index < jnp.minimum(chunk_steps, LONGEST_CHUNK)) & (state.step < config.steps) & ~state.is_done

    def body(carry: tuple[Int[Array, ""], TuningState, TuningTerms]):
        index, state, terms = carry
        of_step = jax.random.fold_in(key, state.step)

        def loss(weights: Weights) -> tuple[Float[Array, ""], TuningTerms]:
            tuned = prepared(with_weights(generator, weights))
            terms = loss_terms((untuned, tuned), lpips, problem, of_step)
            return terms.total, terms

        with precision.products("float32"):
            (_, step_terms), gradient = jax.value_and_grad(loss, has_aux=True)(state.weights)
        state = _after(state, gradient, step_terms.perceptual <= config.stop_at, config)
        return index + 1, state, jax.tree.map(lambda all_, term: all_.at[index].set(term), terms, step_terms)

    terms = TuningTerms(*(jnp.zeros(LONGEST_CHUNK) for _ in TuningTerms._fields))
    _, state, terms = jax.lax.while_loop(goes_on, body, (jnp.int32(0), state, terms))
    return state, terms


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
    problem: TuningProblem,
    key: PRNGKeyArray,
) -> TuningTerms:
    """Computes all terms of the loss of a tuned network.

    Args:
      networks: the untuned and the tuned network.
      lpips, problem: the same as in `run_chunks`, of one image.
      key: the key of the latent beside the pivot.
    """
    untuned, tuned = networks
    degradation, target, pivot, config = problem
    size = config.feature_size
    image = losses.at_most(observe(degradation, as_rgb(tuned.synthesis(pivot.ws, pivot.noise))), size)
    perceptual = distance(lpips.features(image), target.features)
    squared_error = jnp.mean((image - target.image) ** 2)
    beside = beside_pivot(untuned, pivot.ws, config.locality_distance, key)
    ours, theirs = (losses.at_most(as_rgb(one.synthesis(beside, pivot.noise)), size) for one in (tuned, untuned))
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


def _adam(config: TuningConfig) -> optax.GradientTransformation:
    return optax.scale_by_adam(config.adam_b1, config.adam_b2, config.adam_eps)
