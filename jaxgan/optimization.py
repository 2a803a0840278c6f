"""The optimisation problem of one image and its steps, compiled: what `jaxgan.inversion` and `jaxgan.batch` run.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, Appendix D, arXiv 1912.04958.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float, Int, Key, PRNGKeyArray

from jaxgan import latents as latents_lib
from jaxgan import losses, precision, start
from jaxgan.convolutions import prepare
from jaxgan.degradations import Degradation, Grayscale, parts_of, without_draws
from jaxgan.generator import Generator, SynthesisNetwork, as_rgb
from jaxgan.inversion_config import InversionConfig, Numbers, Program
from jaxgan.latents import Latents, NoiseMaps, WStatistics
from jaxgan.lpips import LPIPS, Features
from jaxgan.normalized_descent import normalize_vectors
from jaxgan.objectives import OBJECTIVES, ObjectiveName, compared_side
from jaxgan.start import Samples

LONGEST_CHUNK = 1000
"""Steps that a call of `run_chunk` has room for the losses of."""


OF_THE_OBJECTIVE = 0xFFFF_FFFF
"""This number is folded into the key of the objective's draws. Steps, folded in for the jitter, are fewer."""


class LossTerms(NamedTuple):
    """The terms that a step minimised; the total is the sum of the others times their weights.

    Attributes:
      total: `perceptual + noise_reg_weight * noise_regularizer + latent_dist_reg_weight * latent_distance`.
      perceptual: the objective, which is LPIPS between the degraded image and the observation or a pyramid of it.
      noise_regularizer: see `losses.noise_regularizer`.
      latent_distance: see `losses.latent_distance`.
    """

    total: Float[Array, "*n"]
    perceptual: Float[Array, "*n"]
    noise_regularizer: Float[Array, "*n"]
    latent_distance: Float[Array, "*n"]


class Prior(NamedTuple):
    """The facts about a network's latents that are known before anything is observed, for all images alike.

    Attributes:
      statistics: mean and spread of w.
      samples: images to guess the first w from; None to begin at the mean.
    """

    statistics: WStatistics
    samples: Samples | None


class Problem(NamedTuple):
    """What stays fixed while one image is inverted, or in a phase of that.

    Attributes:
      numbers, program: the two parts of the config that the compiled steps know.
      degradation: the operator assumed between the synthesised image and the observation.
      target: the observation as `Program.objective` compares it; to "lpips" its features.
      statistics: mean and spread of w.
      start: the first w, `[w_dim]`.
      first_step: steps that were done before this phase.
    """

    numbers: Numbers
    program: Program
    degradation: Degradation
    target: Any
    statistics: WStatistics
    start: Float[Array, " w_dim"]
    first_step: Int[ArrayLike, ""]


class InversionState(NamedTuple):
    """Everything that changes from step to step. With the key, it is all that is needed to continue a run.

    Attributes:
      step: steps done, those of earlier phases among them.
      latents: the iterate.
      optimizer: the optimiser's state, such as Adam's moments.
      best: the latents of the lowest total loss so far in this phase, as they were rendered (jitter included).
      best_loss, best_step: that loss, and the step (from 0) it was seen in.
      earlier: the results of the phases before this one.
    """

    step: Int[Array, ""]
    latents: Latents
    optimizer: optax.ScaleByAdamState | optax.EmptyState
    best: Latents
    best_loss: Float[Array, ""]
    best_step: Int[Array, ""]
    earlier: tuple[Latents, ...] = ()


def make_prior(generator: Generator, config: InversionConfig, *, label: int | None = None) -> Prior:
    """Computes what all images of a network, or of one of its classes, share.

    Args:
      generator, config: the network and the numbers of samples.
      label: class of a class-conditional network; None takes all its classes in turn.
    Raises:
      ValueError: the network has no such class.
    """
    statistics = latents_lib.w_statistics(generator, samples=config.w_samples, label=label)
    count = config.start_samples
    drawn = start.draw_samples(generator, samples=count, label=label) if count else None
    return Prior(statistics, drawn)


def make_problem(
    generator: Generator,
    lpips: LPIPS,
    observed: Float[ArrayLike, "h w 3"],
    degradation: Degradation,
    config: InversionConfig,
    *,
    prior: Prior | None = None,
    first_step: int = 0,
) -> Problem:
    """Computes what stays fixed: the target, the first w and, unless given, what images share.

    Raises:
      ValueError: a network of grey images is asked for colours.
    """
    if generator.config.image_channels == 1 and any(isinstance(part, Grayscale) for part in parts_of(degradation)):
        raise ValueError("this network makes grey images; to give colours to a picture takes one of 3 channels.")
    if prior is None:
        prior = make_prior(generator, config)
    numbers, program = config.numbers(), config.program()
    observed = jnp.asarray(observed, jnp.float32)
    target = _target(lpips, observed, degradation, objective=program.objective, size=program.feature_size)
    first = _first_w(observed, degradation, prior)
    return Problem(numbers, program, degradation, target, prior.statistics, first, np.int32(first_step))


@partial(jax.jit, static_argnames=("objective", "size"))
def _target(
    lpips: LPIPS, observed: Float[Array, "h w 3"], degradation: Degradation, *, objective: ObjectiveName, size: int
):
    with precision.products("float32"):
        side = compared_side(objective, observed.shape[0], size)
        return OBJECTIVES[objective].target(lpips.features, degradation, observed, side)


@jax.jit
def _first_w(observed: Float[Array, "h w 3"], degradation: Degradation, prior: Prior) -> Float[Array, " w_dim"]:
    if prior.samples is None:
        return prior.statistics.w_avg
    mean = without_draws(degradation)
    return start.guess(prior.samples, mean, mean.hide_missing(observed))


def initial_state(
    generator: Generator, w: Float[ArrayLike, "*rows w_dim"], config: InversionConfig, key: PRNGKeyArray
) -> InversionState:
    """A first w, in all layers unless it has a row for each, and noise maps, standard normal if they are optimised."""
    noise = latents_lib.sample_noise(key, generator.config.noise_shapes) if config.noise == "optimized" else ()
    return _begin(generator, Latents(jnp.asarray(w), noise), config, step=jnp.int32(0), earlier=())


def next_phase(
    generator: Generator, ended: InversionConfig, state: InversionState, config: InversionConfig
) -> InversionState:
    """Begins a phase with the result of the one before it.

    Args:
      generator: the network.
      ended, state: the constants of the phase before, and the state that it ended with.
      config: the constants of the phase that begins.
    """
    result, _ = kept(ended, state)
    return _begin(generator, result, config, step=jnp.asarray(state.step), earlier=(*state.earlier, result))


def _begin(
    generator: Generator,
    latents: Latents,
    config: InversionConfig,
    *,
    step: Int[Array, ""],
    earlier: tuple[Latents, ...],
) -> InversionState:
    """Makes the state before the first step of a phase."""
    shape = latents_lib.space_shape(config.latent_space, generator.config)
    latents = latents._replace(w=latents_lib.extend(latents.w, shape))
    moments = _optimizer(config.program()).init(latents)
    return InversionState(step, latents, moments, latents, jnp.float32(jnp.inf), step, earlier)


def kept(config: InversionConfig, state: InversionState) -> tuple[Latents, Int[Array, ""]]:
    """Returns the latents that are the result of an inversion or a phase, and the step (from 0) that rendered them."""
    latents, step = (state.best, state.best_step) if config.keep == "best" else (state.latents, state.step)
    return jax.tree.map(jnp.asarray, (latents, step))


def check_chunk_steps(chunk_steps: int) -> None:
    """Raises ValueError if `run_chunk` has no room for so many steps."""
    if not 1 <= chunk_steps <= LONGEST_CHUNK:
        raise ValueError(f"chunk_steps is {chunk_steps}; expected 1 to {LONGEST_CHUNK}")


@partial(jax.jit, static_argnames="platform")
def run_chunk(
    generator: Generator,
    lpips: LPIPS,
    problem: Problem,
    key: PRNGKeyArray,
    state: InversionState,
    chunk_steps: Int[ArrayLike, ""],
    *,
    platform: str | None = None,
) -> tuple[InversionState, LossTerms]:
    """Runs steps without returning to Python, as many as are left of the run, or of the phase, at most.

    Args:
      platform: what the program is made for (see `convolutions.prepare`); None for JAX's default.
    Returns:
      The state after them, and their losses, of shape `[LONGEST_CHUNK]`: those after the last step are zero.
    """
    problems, keys, states = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], (problem, key, state))
    chunk = run_chunks(generator, lpips, problems, keys, states, chunk_steps, platform=platform)
    return jax.tree.map(lambda leaf: leaf[0], chunk)


def run_chunks(
    generator: Generator,
    lpips: LPIPS,
    problems: Problem,
    keys: Key[Array, " n"],
    states: InversionState,
    chunk_steps: Int[ArrayLike, ""],
    *,
    platform: str | None = None,
) -> tuple[InversionState, LossTerms]:
    """Runs steps of several images at once, as `run_chunk` those of one; an image without a step left stays as it is.

    The loop is outside of the images, as JAX would trace a loop inside of them three times.

    Args:
      problems, keys, states: of the images, along a leading axis.
    """
    platform = jax.default_backend() if platform is None else platform
    generator = prepare(generator, platform=platform, batch=len(keys))
    lpips = prepare(lpips, platform=platform, batch=len(keys))
    left = problems.first_step + problems.numbers.steps.astype(jnp.int32) - states.step
    lengths = jnp.minimum(jnp.minimum(chunk_steps, LONGEST_CHUNK), left)

    def advance(problem: Problem, key: PRNGKeyArray, state: InversionState) -> tuple[InversionState, LossTerms]:
        shape = state.latents.w.shape
        draw = jax.random.normal(jax.random.fold_in(key, state.step), (*shape[:-1][:1], shape[-1]))
        of_step = jax.random.fold_in(jax.random.fold_in(key, OF_THE_OBJECTIVE), state.step)
        return step(generator, lpips, problem, state, draw, of_step)

    def body(index: Int[Array, ""], so_far: tuple[InversionState, LossTerms]) -> tuple[InversionState, LossTerms]:
        states, losses = so_far
        is_running = index < lengths
        after, terms = jax.vmap(advance)(problems, keys, states)
        states = jax.vmap(lambda runs, new, old: jax.tree.map(partial(jnp.where, runs), new, old))(
            is_running, after, states
        )
        losses = jax.tree.map(lambda loss, term: loss.at[:, index].set(jnp.where(is_running, term, 0)), losses, terms)
        return states, losses

    losses = LossTerms(*(jnp.zeros((len(keys), LONGEST_CHUNK)) for _ in LossTerms._fields))
    return jax.lax.fori_loop(0, jnp.max(lengths), body, (states, losses))


def step(
    generator: Generator,
    lpips: LPIPS,
    problem: Problem,
    state: InversionState,
    draw: Float[Array, "*layers w_dim"],
    key: PRNGKeyArray,
) -> tuple[InversionState, LossTerms]:
    """One step of the projector.

    Args:
      state: before the step.
      draw: standard normal, of the shape of w (in the W++ space of one w per layer), scaled here to the jitter of this
        step.
      key: of what the objective draws.
    Returns:
      The state after the step, and the loss terms of the image rendered in it.
    """
    numbers, program = problem.numbers, problem.program
    since = state.step - problem.first_step
    jitter = latents_lib.extend(draw * numbers.jitter_at(since, problem.statistics.w_std), state.latents.w.shape)

    def loss(latents: Latents) -> tuple[Float[Array, ""], LossTerms]:
        terms = loss_terms(generator, lpips, problem, latents._replace(w=latents.w + jitter), key)
        return terms.total, terms

    with precision.products(program.precision):
        (_, terms), gradient = jax.value_and_grad(loss, has_aux=True)(state.latents)
    updates, moments = _optimizer(program).update(gradient, state.optimizer)
    rate = numbers.learning_rate_at(since)
    latents = jax.tree.map(lambda variable, update: variable - rate * update, state.latents, updates)
    latents = latents._replace(noise=latents_lib.normalize_noise(latents.noise))
    is_better = terms.total < state.best_loss
    rendered = state.latents._replace(w=state.latents.w + jitter)
    best, best_loss, best_step = jax.tree.map(
        lambda new, old: jnp.where(is_better, new, old),
        (rendered, terms.total, state.step),
        (state.best, state.best_loss, state.best_step),
    )
    after = state._replace(step=state.step + 1, latents=latents, optimizer=moments)
    return after._replace(best=best, best_loss=best_loss, best_step=best_step), terms


def loss_terms(generator: Generator, lpips: LPIPS, problem: Problem, latents: Latents, key: PRNGKeyArray) -> LossTerms:
    """The loss of given latents, all terms; `key` is of what the objective draws."""
    numbers, program = problem.numbers, problem.program
    ws = latents_lib.broadcast(latents.w, num_ws=generator.config.num_ws)
    synthesize, features_of = _networks_in(program)
    image = synthesize(generator.synthesis, ws, latents.noise or generator.synthesis.noise_const())
    of_network = partial(features_of, lpips)
    compare = OBJECTIVES[program.objective].distance
    side = compared_side(program.objective, image.shape[0], program.feature_size)
    perceptual = compare(of_network, problem.degradation, problem.target, image, side, key)
    noise_regularizer = losses.noise_regularizer(latents.noise)
    latent_distance = losses.latent_distance(latents.w, problem.statistics.w_avg)
    total = perceptual + numbers.noise_reg_weight * noise_regularizer
    total += numbers.latent_dist_reg_weight * latent_distance
    return LossTerms(total, perceptual, noise_regularizer, latent_distance)


def _networks_in(program: Program) -> tuple[Callable, Callable]:
    """`synthesis(ws, noise)` and `lpips.features(image)` in the program's precision; the network comes first."""
    formats = precision.FORMATS[program.precision]

    def synthesize(synthesis: SynthesisNetwork, ws: Array, noise: NoiseMaps) -> Float[Array, "h w 3"]:
        return as_rgb(synthesis(ws, noise, dtype=formats.generator))

    def features_of(lpips: LPIPS, image: Float[Array, "h w 3"]) -> Features:
        return lpips.features(image, dtype=formats.vgg)

    if program.precision == "float16":
        return precision.balance_gradient(synthesize), precision.balance_gradient(features_of)
    return synthesize, features_of


@jax.jit
def render(generator: Generator, latents: Latents) -> Float[Array, "h w 3"]:
    """The image of latents, not degraded, in float32."""
    return as_rgb(_render(generator, latents))


@jax.jit
def render_alpha(generator: Generator, latents: Latents) -> Float[Array, "h w"]:
    """The alpha channel of a network that has one, nominally in [-1, 1] like colours."""
    return _render(generator, latents)[..., 3]


def _render(generator: Generator, latents: Latents) -> Float[Array, "h w c"]:
    ws = latents_lib.broadcast(latents.w, num_ws=generator.config.num_ws)
    with precision.products("float32"):
        return generator.synthesis(ws, latents.noise or "const")


def _optimizer(program: Program) -> optax.GradientTransformation:
    if program.optimizer == "normalized":
        return normalize_vectors()
    return optax.scale_by_adam(program.adam_b1, program.adam_b2, program.adam_eps)
