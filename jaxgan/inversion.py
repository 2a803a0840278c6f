"""Inversion: optimise a latent and the noise maps until the degraded image of the generator matches an observation.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, Appendix D, arXiv 1912.04958.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jaxgan import latents as latents_lib
from jaxgan import losses, precision, start
from jaxgan.degradations import Degradation
from jaxgan.generator import Generator, SynthesisNetwork
from jaxgan.latents import Latents, NoiseMaps, WStatistics
from jaxgan.lpips import LPIPS, Features, distance
from jaxgan.precision import Precision
from jaxgan.start import Samples


@dataclasses.dataclass(frozen=True)
class InversionConfig:
    """Settings of the optimisation. `t = step / steps` runs from 0 to 1.

    Attributes:
      steps: number of optimisation steps.
      learning_rate: Adam's largest step size.
      rampup, rampdown: shares of the run in which the learning rate rises linearly, and falls along a cosine.
      jitter: noise added to w, relative to its spread, falling quadratically to zero at `t = jitter_ramp`.
      jitter_ramp: see `jitter`.
      latent_space: "w" optimises one latent for all layers, "w_plus" one per layer.
      latent_dist_reg_weight: weight of the mean squared distance of w from the mean latent.
      noise_reg_weight: weight of the noise regulariser.
      feature_size: larger images are averaged down to this size before the LPIPS distance.
      w_samples: latents that w_avg and w_std are estimated from.
      start_samples: images of the network that the first w is guessed from (see `start`); 0 begins at the mean latent.
      adam_b1, adam_b2, adam_eps: Adam's constants.
      keep: return the iterate of the lowest loss ("best") or the one after the last step ("last").
      patience: stop at the end of a chunk if so many steps lowered the lowest loss by less than 1 %; None: never.
      precision: what the networks compute a step in (see `jaxgan.precision`); the result is rendered in float32.
    """

    steps: int = 500
    learning_rate: float = 0.1
    rampup: float = 0.05
    rampdown: float = 0.25
    jitter: float = 0.05
    jitter_ramp: float = 0.75
    latent_space: Literal["w", "w_plus"] = "w"
    latent_dist_reg_weight: float = 0.0
    noise_reg_weight: float = 1e5
    feature_size: int = 256
    w_samples: int = 10_000
    start_samples: int = 0
    adam_b1: float = 0.9
    adam_b2: float = 0.999
    adam_eps: float = 1e-8
    keep: Literal["best", "last"] = "best"
    patience: int | None = None
    precision: Precision = "float32"

    def __post_init__(self):
        problems = []
        if self.latent_space not in ("w", "w_plus"):
            problems.append(f"latent_space must be 'w' or 'w_plus', got {self.latent_space!r}")
        if self.keep not in ("best", "last"):
            problems.append(f"keep must be 'best' or 'last', got {self.keep!r}")
        if self.precision not in precision.NAMES:
            problems.append(f"precision must be one of {', '.join(precision.NAMES)}, got {self.precision!r}")
        for name in ("steps", "feature_size", "w_samples"):
            if getattr(self, name) < 1:
                problems.append(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "jitter_ramp", "rampup", "rampdown", "adam_eps"):
            if not 0 < getattr(self, name) < math.inf:
                problems.append(f"{name} must be positive and finite, got {getattr(self, name)}")
        for name in ("jitter", "latent_dist_reg_weight", "noise_reg_weight", "start_samples"):
            if not 0 <= getattr(self, name) < math.inf:
                problems.append(f"{name} must not be negative, got {getattr(self, name)}")
        if self.patience is not None and self.patience < 1:
            problems.append(f"patience must be at least 1, got {self.patience}")
        if problems:
            raise ValueError("InversionConfig: " + "; ".join(problems))

    @classmethod
    def for_task(cls, task: Literal["invert", "inpaint", "deblur", "colorize"]) -> InversionConfig:
        """This project's defaults for a task; experiments/STUDY.md has the measurements behind each number."""
        weights = {"invert": 0.0, "inpaint": 0.1, "deblur": 0.0, "colorize": 1.0}
        return cls(
            steps=200,
            latent_space="w_plus",
            jitter=0.0,
            start_samples=256,
            latent_dist_reg_weight=weights[task],
        )

    @classmethod
    def reference(cls, steps: int = 1000) -> InversionConfig:
        """The projector published with StyleGAN2."""
        return cls(steps=steps, keep="last")

    def learning_rate_at(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """Step size of a step, counted from 0; zero at step 0."""
        t = step / self.steps
        falling = 0.5 - 0.5 * jnp.cos(jnp.pi * jnp.minimum(1.0, (1.0 - t) / self.rampdown))
        return self.learning_rate * falling * jnp.minimum(1.0, t / self.rampup)

    def jitter_at(self, step: Int[Array, ""], w_std: Float[Array, ""]) -> Float[Array, ""]:
        """Standard deviation of the noise on each component of w in a step."""
        t = step / self.steps
        return w_std * self.jitter * jnp.maximum(0.0, 1.0 - t / self.jitter_ramp) ** 2


class LossTerms(NamedTuple):
    """What a step minimised; the total is the others times their weights.

    Attributes:
      total: `perceptual + noise_reg_weight * noise_regularizer + latent_dist_reg_weight * latent_distance`.
      perceptual: LPIPS between the degraded image and the observation.
      noise_regularizer: see `losses.noise_regularizer`.
      latent_distance: see `losses.latent_distance`.
    """

    total: Float[Array, "*n"]
    perceptual: Float[Array, "*n"]
    noise_regularizer: Float[Array, "*n"]
    latent_distance: Float[Array, "*n"]


class Prior(NamedTuple):
    """What is known of a network's latents before anything is observed; the same for all images.

    Attributes:
      statistics: mean and spread of w.
      samples: images to guess the first w from; None to begin at the mean.
    """

    statistics: WStatistics
    samples: Samples | None


class Problem(NamedTuple):
    """What stays fixed while one image is inverted.

    Attributes:
      degradation: the operator assumed between the synthesised image and the observation.
      target_features: LPIPS features of the observation.
      statistics: mean and spread of w.
      start: the first w, `[w_dim]`.
      latent_dist_reg_weight: that of the config; an array, so that images of one batch may differ in it.
    """

    degradation: Degradation
    target_features: Features
    statistics: WStatistics
    start: Float[Array, " w_dim"]
    latent_dist_reg_weight: Float[Array, ""]


class InversionState(NamedTuple):
    """Everything that changes from step to step: with the key, all that is needed to continue a run.

    Attributes:
      step: steps done.
      latents: the iterate.
      optimizer: Adam's moments.
      best: the latents of the lowest total loss so far, as they were rendered (jitter included).
      best_loss, best_step: that loss, and the step (from 0) it was seen in.
    """

    step: Int[Array, ""]
    latents: Latents
    optimizer: optax.ScaleByAdamState
    best: Latents
    best_loss: Float[Array, ""]
    best_step: Int[Array, ""]


class InversionResult(NamedTuple):
    """Outcome of an inversion.

    Attributes:
      ws: `[num_ws, w_dim]`.
      noise: the optimised noise maps; `generator.synthesis(ws, noise)` is `image`.
      image: `[H, W, 3]`, not degraded, not clipped.
      losses: every term of every step, each `[steps]`.
      returned_step: the step (from 0) in which the latents were rendered, or `steps` for those after the last one.
      state: where the run ended; given to `invert` with more steps it would go on.
    """

    ws: Float[Array, "num_ws w_dim"]
    noise: NoiseMaps
    image: Float[Array, "h w 3"]
    losses: LossTerms
    returned_step: int
    state: InversionState


def invert(
    generator: Generator,
    lpips: LPIPS,
    target: Float[Array, "h w 3"],
    degradation: Degradation,
    config: InversionConfig,
    key: PRNGKeyArray,
    *,
    resume_from: tuple[InversionState, LossTerms] | None = None,
    chunk_steps: int = 25,
    on_chunk: Callable[[InversionState, LossTerms], None] | None = None,
) -> InversionResult:
    """Finds latents whose image, degraded, looks like an observed image.

    Args:
      generator: the network, unchanged.
      lpips: the distance.
      target: the observed (already degraded) image in [-1, 1], at the generator's resolution.
      degradation: the operator assumed to have made it; `Identity()` for a plain inversion.
      config: settings.
      key: of all randomness (first noise maps, jitter).
      resume_from: state and losses that an earlier call with the same arguments passed to `on_chunk`; the run continues
        to the bit-identical result.
      chunk_steps: steps between two returns to Python. The last chunk is compiled again if it is shorter.
      on_chunk: called after every chunk with the state and all losses so far.
    Returns:
      Latents, noise maps, image and losses.
    Raises:
      ValueError: the target does not fit the generator.
      FloatingPointError: the loss is not finite; the message has the step.
    """
    if target.shape != generator.config.image_shape:
        raise ValueError(
            f"target has shape {target.shape}; this generator makes {generator.config.image_shape}. "
            "Align and resize the photograph first."
        )
    problem = make_problem(generator, lpips, target, degradation, config)
    if resume_from is None:
        state, history = initial_state(generator, problem.start, config, key), []
    else:
        state, history = resume_from[0], [resume_from[1]]
    while not is_done(config, history):
        length = min(chunk_steps, config.steps - int(state.step))
        state, terms = run_chunk(generator, lpips, problem, config, key, state, length)
        history.append(jax.tree.map(np.asarray, terms))
        check_finite(terms, int(state.step) - length)
        if on_chunk is not None:
            on_chunk(state, concatenate(history))
    return result_of(generator, config, state, concatenate(history))


def is_done(config: InversionConfig, history: list[LossTerms]) -> bool:
    """Whether an image has had all its steps, or has converged (see `InversionConfig.patience`)."""
    steps = steps_done(history)
    if steps >= config.steps or config.patience is None or steps <= config.patience:
        return steps >= config.steps
    total = concatenate(history).total
    return bool(total.min() > 0.99 * total[: -config.patience].min())


def steps_done(history: list[LossTerms]) -> int:
    """Steps whose losses are in a history."""
    return sum(len(terms.total) for terms in history)


def terms_of_place(terms: LossTerms, place: int, config: InversionConfig, history: list[LossTerms]) -> LossTerms:
    """An image's own losses of what `Batch.advance` returned, without those of frozen steps."""
    length = min(terms.total.shape[1], config.steps - steps_done(history))
    return jax.tree.map(lambda term: term[place, :length], terms)


def result_of(
    generator: Generator, config: InversionConfig, state: InversionState, losses: LossTerms
) -> InversionResult:
    """The outcome of an inversion that ended in a state."""
    kept, returned_step = (state.best, state.best_step) if config.keep == "best" else (state.latents, state.step)
    kept = jax.tree.map(jnp.asarray, kept)
    ws = latents_lib.broadcast(kept.w, num_ws=generator.config.num_ws)
    return InversionResult(ws, kept.noise, render(generator, kept), losses, int(returned_step), state)


def make_prior(generator: Generator, config: InversionConfig) -> Prior:
    """Computes what all images of a network share."""
    statistics = latents_lib.w_statistics(generator, samples=config.w_samples)
    drawn = start.draw_samples(generator, samples=config.start_samples) if config.start_samples else None
    return Prior(statistics, drawn)


def make_problem(
    generator: Generator,
    lpips: LPIPS,
    target: Float[Array, "h w 3"],
    degradation: Degradation,
    config: InversionConfig,
    *,
    prior: Prior | None = None,
) -> Problem:
    """Computes what stays fixed: features of the observation, the first w and, unless given, what images share."""
    if prior is None:
        prior = make_prior(generator, config)
    return _make_problem(lpips, jnp.asarray(target, jnp.float32), degradation, config, prior)


@partial(jax.jit, static_argnames="config")
def _make_problem(
    lpips: LPIPS, target: Float[Array, "h w 3"], degradation: Degradation, config: InversionConfig, prior: Prior
) -> Problem:
    observed = degradation.hide_missing(target)
    statistics, samples = prior
    with precision.products("float32"):
        features = lpips.features(_to_feature_size(observed, config.feature_size))
        first = statistics.w_avg if samples is None else start.guess(samples, degradation, observed)
    return Problem(degradation, features, statistics, first, jnp.float32(config.latent_dist_reg_weight))


def initial_state(
    generator: Generator, w: Float[Array, " w_dim"], config: InversionConfig, key: PRNGKeyArray
) -> InversionState:
    """A first w, in all layers, and standard normal noise maps."""
    rows = () if config.latent_space == "w" else (generator.config.num_ws,)
    w = jnp.broadcast_to(w, (*rows, generator.config.w_dim))
    latents = Latents(w, latents_lib.sample_noise(key, generator.config.noise_shapes))
    moments = _adam(config).init(latents)
    return InversionState(jnp.int32(0), latents, moments, latents, jnp.float32(jnp.inf), jnp.int32(0))


def template(generator: Generator, config: InversionConfig) -> tuple[InversionState, LossTerms]:
    """Shapes and dtypes of what `invert` passes to `on_chunk`, before the first step (losses of length 0)."""
    state = initial_state(generator, jnp.zeros(generator.config.w_dim), config, jax.random.key(0))
    return state, LossTerms(*(np.zeros(0, np.float32),) * len(LossTerms._fields))


@partial(jax.jit, static_argnames=("config", "length"))
def run_chunk(
    generator: Generator,
    lpips: LPIPS,
    problem: Problem,
    config: InversionConfig,
    key: PRNGKeyArray,
    state: InversionState,
    length: int,
) -> tuple[InversionState, LossTerms]:
    """Runs `length` steps without returning to Python; the terms have shape `[length]`."""

    def body(state: InversionState, _: None) -> tuple[InversionState, LossTerms]:
        draw = jax.random.normal(jax.random.fold_in(key, state.step), state.latents.w.shape)
        return step(generator, lpips, problem, config, state, draw)

    return jax.lax.scan(body, state, None, length)


def step(
    generator: Generator,
    lpips: LPIPS,
    problem: Problem,
    config: InversionConfig,
    state: InversionState,
    draw: Float[Array, "*rows w_dim"],
) -> tuple[InversionState, LossTerms]:
    """One step of the projector.

    Args:
      state: before the step.
      draw: standard normal, of the shape of w, scaled here to the jitter of this step.
    Returns:
      The state after the step, and the loss terms of the image rendered in it.
    """
    jitter = draw * config.jitter_at(state.step, problem.statistics.w_std)

    def loss(latents: Latents) -> tuple[Float[Array, ""], LossTerms]:
        terms = loss_terms(generator, lpips, problem, config, latents._replace(w=latents.w + jitter))
        return terms.total, terms

    with precision.products(config.precision):
        (_, terms), gradient = jax.value_and_grad(loss, has_aux=True)(state.latents)
    updates, moments = _adam(config).update(gradient, state.optimizer)
    rate = config.learning_rate_at(state.step)
    latents = jax.tree.map(lambda variable, update: variable - rate * update, state.latents, updates)
    latents = latents._replace(noise=latents_lib.normalize_noise(latents.noise))
    is_better = terms.total < state.best_loss
    rendered = state.latents._replace(w=state.latents.w + jitter)
    best, best_loss, best_step = jax.tree.map(
        lambda new, old: jnp.where(is_better, new, old),
        (rendered, terms.total, state.step),
        (state.best, state.best_loss, state.best_step),
    )
    return InversionState(state.step + 1, latents, moments, best, best_loss, best_step), terms


def loss_terms(
    generator: Generator, lpips: LPIPS, problem: Problem, config: InversionConfig, latents: Latents
) -> LossTerms:
    """The loss of given latents, all terms."""
    ws = latents_lib.broadcast(latents.w, num_ws=generator.config.num_ws)
    synthesize, features_of = _networks_in(config)
    image = problem.degradation(synthesize(generator.synthesis, ws, latents.noise))
    features = features_of(lpips, _to_feature_size(image, config.feature_size))
    perceptual = distance(features, problem.target_features)
    noise_regularizer = losses.noise_regularizer(latents.noise)
    latent_distance = losses.latent_distance(latents.w, problem.statistics.w_avg)
    total = perceptual + config.noise_reg_weight * noise_regularizer
    total += problem.latent_dist_reg_weight * latent_distance
    return LossTerms(total, perceptual, noise_regularizer, latent_distance)


def _networks_in(config: InversionConfig) -> tuple[Callable, Callable]:
    """`synthesis(ws, noise)` and `lpips.features(image)` with the settings' precision; the network comes first."""
    dtype = precision.activation_dtype(config.precision)

    def synthesize(synthesis: SynthesisNetwork, ws: Array, noise: NoiseMaps) -> Float[Array, "h w 3"]:
        return synthesis(ws, noise, dtype=dtype)

    def features_of(lpips: LPIPS, image: Float[Array, "h w 3"]) -> Features:
        return lpips.features(image, dtype=dtype)

    if config.precision == "float16":
        return precision.balance_gradient(synthesize), precision.balance_gradient(features_of)
    return synthesize, features_of


@jax.jit
def render(generator: Generator, latents: Latents) -> Float[Array, "h w 3"]:
    """The image of latents, not degraded, in float32."""
    ws = latents_lib.broadcast(latents.w, num_ws=generator.config.num_ws)
    with precision.products("float32"):
        return generator.synthesis(ws, latents.noise)


def _adam(config: InversionConfig) -> optax.GradientTransformation:
    return optax.scale_by_adam(config.adam_b1, config.adam_b2, config.adam_eps)


def _to_feature_size(image: Float[Array, "h w 3"], size: int) -> Float[Array, "_ _ 3"]:
    return losses.average_pool(image, image.shape[0] // size) if image.shape[0] > size else image


def concatenate(history: list[LossTerms]) -> LossTerms:
    """Losses of several chunks, one after the other."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *history)


def check_finite(terms: LossTerms, first_step: int, image: int | None = None) -> None:
    """Looks for the first loss that is not a number.

    Raises:
      FloatingPointError: it is there; the message has the step, counted from `first_step`.
    """
    total = np.asarray(terms.total)
    if not np.isfinite(total).all():
        row = int(np.argmin(np.isfinite(total)))
        raise FloatingPointError(
            f"the loss{'' if image is None else f' of image {image}'} is {total[row]} at step {first_step + row}; "
            "lower the learning rate, or check the input."
        )
