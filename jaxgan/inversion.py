"""Inversion: optimise a latent and the noise maps until the degraded image of the generator matches an observation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from jaxgan import latents as latents_lib
from jaxgan import optimization
from jaxgan.degradations import Degradation
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.latents import NoiseMaps
from jaxgan.lpips import LPIPS, check_size
from jaxgan.optimization import LONGEST_CHUNK, InversionState, LossTerms


class InversionResult(NamedTuple):
    """Outcome of an inversion.

    Attributes:
      ws: `[num_ws, w_dim]`.
      noise: the optimised noise maps; `generator.synthesis(ws, noise)` gives `image` and `alpha`.
      image: `[H, W, 3]`, not degraded, not clipped.
      alpha: `[H, W]`, of a network with 4 channels, else None.
      losses: every term of every step, each `[steps]`.
      returned_step: the step (from 0) in which the latents were rendered, or `steps` for those after the last one.
      state: where the run ended; given to `invert` with more steps it would go on.
    """

    ws: Float[Array, "num_ws w_dim"]
    noise: NoiseMaps
    image: Float[Array, "h w 3"]
    alpha: Float[Array, "h w"] | None
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
      target: the observed (already degraded) image in [-1, 1], RGB at the generator's resolution.
      degradation: the operator assumed to have made it; `Identity()` for a plain inversion.
      config: settings.
      key: of all randomness (first noise maps, jitter).
      resume_from: state and losses that an earlier call with the same arguments passed to `on_chunk`; the run continues
        to the bit-identical result.
      chunk_steps: steps between two returns to Python, at most `LONGEST_CHUNK`.
      on_chunk: called after every chunk with the state and all losses so far.
    Returns:
      Latents, noise maps, image and losses.
    Raises:
      UserError: the generator's images are too small for LPIPS.
      ValueError: the target does not fit the generator, or `chunk_steps` is out of range.
      FloatingPointError: the loss is not finite; the message has the step.
    """
    check_size(generator.config.resolution)
    if target.shape != generator.config.image_shape:
        raise ValueError(
            f"target has shape {target.shape}; this generator makes {generator.config.image_shape}. "
            "Align and resize the photograph first."
        )
    check_chunk_steps(chunk_steps)
    problem = optimization.make_problem(generator, lpips, target, degradation, config)
    if resume_from is None:
        state, history = optimization.initial_state(generator, problem.start, config, key), []
    else:
        state, history = resume_from[0], [resume_from[1]]
    while not is_done(config, history):
        state, terms = optimization.run_chunk(generator, lpips, problem, key, state, chunk_steps)
        history.append(taken(terms, chunk_steps, config, history))
        check_finite(history[-1], steps_done(history[:-1]))
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


def taken(terms: LossTerms, chunk_steps: int, config: InversionConfig, history: list[LossTerms]) -> LossTerms:
    """The losses of the steps that a call of `optimization.run_chunk` after this history took, on the host."""
    length = min(chunk_steps, config.steps - steps_done(history))
    return jax.tree.map(lambda term: np.asarray(term[:length]), terms)


def of_place(terms: LossTerms, place: int) -> LossTerms:
    """The losses of one place of a batch."""
    return jax.tree.map(lambda term: term[place], terms)


def result_of(
    generator: Generator, config: InversionConfig, state: InversionState, losses: LossTerms
) -> InversionResult:
    """The outcome of an inversion that ended in a state."""
    kept, returned_step = (state.best, state.best_step) if config.keep == "best" else (state.latents, state.step)
    kept = jax.tree.map(jnp.asarray, kept)
    ws = latents_lib.broadcast(kept.w, num_ws=generator.config.num_ws)
    image = optimization.render(generator, kept)
    alpha = optimization.render_alpha(generator, kept) if generator.config.image_channels == 4 else None
    return InversionResult(ws, kept.noise, image, alpha, losses, int(returned_step), state)


def template(generator: Generator, config: InversionConfig) -> tuple[InversionState, LossTerms]:
    """Shapes and dtypes of what `invert` passes to `on_chunk`, before the first step (losses of length 0)."""
    state = optimization.initial_state(generator, jnp.zeros(generator.config.w_dim), config, jax.random.key(0))
    return state, LossTerms(*(np.zeros(0, np.float32),) * len(LossTerms._fields))


def concatenate(history: list[LossTerms]) -> LossTerms:
    """Losses of several chunks, one after the other."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *history)


def check_chunk_steps(chunk_steps: int) -> None:
    """Raises ValueError if `optimization.run_chunk` has no room for so many steps."""
    if not 1 <= chunk_steps <= LONGEST_CHUNK:
        raise ValueError(f"chunk_steps is {chunk_steps}; expected 1 to {LONGEST_CHUNK}")


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
