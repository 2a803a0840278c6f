"""Inverts images: optimises a latent and the noise maps until the generator's degraded image matches an observation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from jaxgan import images, loop, optimization
from jaxgan import latents as latents_lib
from jaxgan.degradations import Degradation, check_degradation, parts_of
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.inversion_image import InversionImage
from jaxgan.latents import Latents, NoiseMaps
from jaxgan.lpips import LPIPS, check_size
from jaxgan.methods import Method
from jaxgan.optimization import InversionState, LossTerms, Prior


class InversionResult(NamedTuple):
    """The outcome of an inversion.

    Attributes:
      ws: the latents, one per layer, `[num_ws, w_dim]`, or, in the W++ space, `[num_ws, rows, w_dim]`.
      noise: the optimised noise maps, or the stored ones; `generator.synthesis(ws, noise)` gives `image` and `alpha`.
      image: the generator's image `[H, W, 3]`, nominally in [-1, 1] but not clipped, and not degraded.
      alpha: the alpha channel `[H, W]` of a network with 4 channels, else None.
      losses: every term of every step, each `[steps]`.
      returned_step: the step, from 0, whose latents these are; `steps` stands for those after the last step.
      state: the state in which the run ended; with it `invert` goes on if it is asked for more steps.
      earlier: the results of the phases before the last one; `optimization.render` gives their images.
    """

    ws: Float[Array, "num_ws *rows w_dim"]
    noise: NoiseMaps
    image: Float[Array, "h w 3"]
    alpha: Float[Array, "h w"] | None
    losses: LossTerms
    returned_step: int
    state: InversionState
    earlier: tuple[Latents, ...]


def invert(
    generator: Generator,
    lpips: LPIPS,
    observed: Float[Array | np.ndarray, "h w 3"],
    degradation: Degradation,
    config: InversionConfig | Method,
    key: PRNGKeyArray,
    *,
    prior: Prior | None = None,
    resume_from: tuple[InversionState, LossTerms] | None = None,
    chunk_steps: int = 25,
    on_chunk: Callable[[InversionState, LossTerms], None] | None = None,
) -> InversionResult:
    """Finds latents whose image, degraded, looks like an observed image.

    Args:
      generator: the network, which is not changed.
      lpips: the distance that is minimised.
      observed: the degraded image in [-1, 1], RGB at the generator's resolution.
      degradation: the operator assumed to have made the observed image; `Identity()` stands for a plain inversion.
      config: the constants of the optimisation, or a method of several phases.
      key: decides all randomness, which is in the first noise maps and in the jitter.
      prior: the facts about the network that `jaxgan.make_prior` collects, which takes a while; None collects them now.
      resume_from: the state and losses that an earlier call with the same arguments passed to `on_chunk`; the run
        continues to the bit-identical result. `jaxgan.save_inversion` and `jaxgan.load_inversion` keep them.
      chunk_steps: the number of steps between two returns to Python, from 1 to `optimization.LONGEST_CHUNK`.
      on_chunk: a function that is called after every chunk with the state and all losses so far.
    Returns:
      The latents, noise maps, image and losses.
    Raises:
      UserError: the generator's images are too small for LPIPS.
      ValueError: the observation does not fit the generator, or `chunk_steps` is out of range.
      TypeError, ValueError: a degradation of one's own is refused by `check_degradation`.
      FloatingPointError: the loss is not finite; the message names the step.
    """
    check_size(generator.config.resolution)
    images.check_image(observed, "observed")
    if observed.shape != generator.config.image_shape:
        raise ValueError(
            f"observed has shape {observed.shape}; this generator makes {generator.config.image_shape}. "
            "Align and resize the photograph first."
        )
    optimization.check_chunk_steps(chunk_steps)
    _check_own(degradation, generator.config.resolution)
    method = Method.of(config)
    prior = optimization.make_prior(generator, method.first) if prior is None else prior
    image = InversionImage(observed, degradation, method, key, prior, resume_from)
    reached = resume_from
    left = [] if image.is_done else [image]
    for chunk in loop.run(generator, lpips, left, size=1, chunk_steps=lambda _: chunk_steps):
        (progress,) = chunk.progresses
        if progress.error is not None:
            raise progress.error
        reached = progress.state, progress.losses
        if on_chunk is not None:
            on_chunk(*reached)
    assert reached is not None  # there is at least one step
    return result_of(generator, method, *reached)


def invert_batch(
    generator: Generator,
    lpips: LPIPS,
    observed: Float[Array | np.ndarray, "n h w 3"],
    degradations: Degradation,
    config: InversionConfig | Method | Sequence[InversionConfig | Method],
    keys: Key[Array, " n"],
    *,
    prior: Prior | None = None,
    offsets: Float[Array, "n w_dim"] | None = None,
    size: int | None = None,
    chunk_steps: int = 25,
) -> list[InversionResult]:
    """Inverts several images, all at once or `size` at a time.

    For images that come and go, `loop.run` is the better choice.

    Args:
      generator, lpips: the networks.
      observed: the degraded images in [-1, 1], RGB at the generator's resolution.
      degradations: one pytree whose leaves have a leading axis `n`, such as one mask or sigma per image.
      config: one config, or method, for all images, or one for each. The parts that are compiled in
        (`InversionConfig.program`) must be equal.
      keys: one key per image, `[n]`.
      prior: see `invert`; None collects the facts that the configs ask for.
      offsets: added to the first w of each image (see `uncertainty.spread_starts`); None for nothing.
      size: the number of places of the batch; None takes one per image.
      chunk_steps: the number of steps between two returns to Python, from 1 to `optimization.LONGEST_CHUNK`.
    Returns:
      One result per image, in their order.
    Raises:
      ValueError: the observations do not fit the generator, or the configs not each other.
      TypeError, ValueError: a degradation of one's own is refused by `check_degradation`.
      FloatingPointError: the loss of an image is not finite; the message names the image and the step.
    """
    check_size(generator.config.resolution)
    images.check_image(observed, "observed")
    if observed.shape[1:] != generator.config.image_shape:
        raise ValueError(
            f"observed has shape {observed.shape}; expected (n, {', '.join(map(str, generator.config.image_shape))})."
        )
    optimization.check_chunk_steps(chunk_steps)
    _check_own(_of_image(degradations, 0), generator.config.resolution)
    configs = [config] * len(observed) if isinstance(config, InversionConfig | Method) else config
    methods = [Method.of(one) for one in configs]
    programs = {tuple(phase.program() for phase in method.phases) for method in methods}
    if len(methods) != len(observed) or len(programs) > 1:
        names = ", ".join(vars(methods[0].first.program()))
        raise ValueError(f"expected {len(observed)} configs with equal {names}.")
    kinds = {(method.first.w_samples, method.first.start_samples): method.first for method in methods}
    priors = {kind: prior or optimization.make_prior(generator, one) for kind, one in kinds.items()}
    upcoming = (
        InversionImage(
            observed[index],
            _of_image(degradations, index),
            method,
            keys[index],
            priors[method.first.w_samples, method.first.start_samples],
            name=index,
            offset=None if offsets is None else offsets[index],
        )
        for index, method in enumerate(methods)
    )
    size = min(size or len(observed), len(observed))
    results: dict[int, InversionResult] = {}
    for chunk in loop.run(generator, lpips, upcoming, size=size, chunk_steps=lambda _: chunk_steps):
        for progress in chunk.progresses:
            if progress.error is not None:
                raise FloatingPointError(f"image {progress.image.name}: {progress.error}")
            if progress.is_done:
                result = result_of(generator, progress.image.method, progress.state, progress.losses)
                results[progress.image.name] = result
    return [results[index] for index in range(len(observed))]


def _of_image(degradations: Degradation, index: int) -> Degradation:
    """Takes the degradation of an image out of those of a batch."""
    return jax.tree.map(lambda leaf: leaf[index], degradations)


def _check_own(degradation: Degradation, resolution: int) -> None:
    """Checks the parts that do not come from this package, before a long run meets what is wrong with them."""
    for part in parts_of(degradation):
        if not type(part).__module__.startswith("jaxgan."):
            check_degradation(part, resolution)


def result_of(
    generator: Generator, config: InversionConfig | Method, state: InversionState, losses: LossTerms
) -> InversionResult:
    """Renders the outcome of an inversion that ended in a state."""
    kept, returned_step = optimization.kept(Method.of(config).last, state)
    ws = latents_lib.broadcast(kept.w, num_ws=generator.config.num_ws)
    image = optimization.render(generator, kept)
    alpha = optimization.render_alpha(generator, kept) if generator.config.image_channels == 4 else None
    noise, earlier = kept.noise or generator.synthesis.noise_const(), jax.tree.map(jnp.asarray, state.earlier)
    return InversionResult(ws, noise, image, alpha, losses, int(returned_step), state, earlier)
