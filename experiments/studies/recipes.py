"""Loops that were tried, written apart from the library's own so that what lost leaves no option there.

References:
  Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", 2020, App. D, arXiv 1912.04958.
  Poirier-Ginter & Lalonde, "Robust Unsupervised StyleGAN Image Restoration", 2023, arXiv 2302.06733 (normalised).
  Zhu et al., "Improved StyleGAN Embedding: Where are the Good Latents?", 2020, arXiv 2012.09036 (whitened latents).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from jaxgan import latents, losses, optimization
from jaxgan.degradations import observe
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.latents import Latents
from jaxgan.lpips import LPIPS
from jaxgan.optimization import Problem


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A loop: the published projector's, with some things changed.

    Attributes:
      name: in figures and tables.
      latent_space, learning_rate, rampdown, jitter, adam_b2, start_samples, noise_reg_weight: as in `InversionConfig`.
      noise_rate: learning rate of the noise maps, relative to that of w.
      update: "adam" scales each number by its own history; "normalised" every latent and map by its gradient's length.
      whitened: w is optimised in units of the mapping network's covariance.
      tied: share of the run in which all rows of a W+ latent move alike (W first, then W+).
      coarse: weight of the squared error of 4x4 means, falling linearly to zero at half of the run.
      steps: None for those of the study.
    """

    name: str
    latent_space: Literal["w", "w_plus"] = "w_plus"
    learning_rate: float = 0.1
    rampdown: float = 0.25
    jitter: float = 0.0
    adam_b2: float = 0.999
    start_samples: int = 0
    noise_reg_weight: float = 1e5
    noise_rate: float = 1.0
    update: Literal["adam", "normalised"] = "adam"
    whitened: bool = False
    tied: float = 0.0
    coarse: float = 0.0
    steps: int | None = None

    def config(self) -> InversionConfig:
        """The settings of it that the library has, too."""
        return InversionConfig(
            steps=self.steps or InversionConfig.steps,
            latent_space=self.latent_space,
            learning_rate=self.learning_rate,
            rampdown=self.rampdown,
            jitter=self.jitter,
            adam_b2=self.adam_b2,
            start_samples=self.start_samples,
            noise_reg_weight=self.noise_reg_weight,
        )


REFERENCE = Recipe("projector, W, five times the steps", latent_space="w", jitter=0.05)
RECIPES = (
    Recipe("projector, W", latent_space="w", jitter=0.05),
    Recipe("W+", jitter=0.05),
    Recipe("W+, no jitter"),
    Recipe("W, no jitter, guessed start", latent_space="w", start_samples=256),
    Recipe("guessed start, rate 0.05", start_samples=256, learning_rate=0.05),
    Recipe("guessed start, rate 0.2", start_samples=256, learning_rate=0.2),
    Recipe("guessed start, rate 0.2, falling for half", start_samples=256, learning_rate=0.2, rampdown=0.5),
    Recipe("guessed start, rate falling for half", start_samples=256, rampdown=0.5),
    Recipe("guessed start, Adam b2 0.99", start_samples=256, adam_b2=0.99),
    Recipe("guessed start, normalised steps", start_samples=256, update="normalised"),
    Recipe("guessed start, whitened w", start_samples=256, whitened=True, learning_rate=0.03),
    Recipe("guessed start, W for a quarter", start_samples=256, tied=0.25),
    Recipe("guessed start, coarse to fine", start_samples=256, coarse=1.0),
    Recipe("guessed start, noise at a third of the rate", start_samples=256, noise_rate=0.3),
    Recipe("W+, no jitter, guessed start", start_samples=256),
)
"""The last one is the library's default."""


def run_recipe(
    generator: Generator,
    lpips: LPIPS,
    recipe: Recipe,
    problems: list[Problem],
    observed: Float[Array, "n h w 3"],
    keys: list[PRNGKeyArray],
) -> tuple[Float[np.ndarray, "n h w 3"], Float[np.ndarray, "n steps_1"], float]:
    """Runs a recipe on images of a batch.

    Returns:
      The images after the last step; LPIPS to the observation of every iterate, the last one among them; and the
      seconds of a step per image, without compilation.
    """
    config = recipe.config()
    whole = jax.tree.map(lambda *leaves: jnp.stack(leaves), *problems)
    to_w, from_w = _coordinates(generator, recipe)

    @jax.jit
    def run(networks: tuple[Generator, LPIPS], problems: Problem, observed: Array, keys: Array):
        def one(problem: Problem, target: Array, key: PRNGKeyArray):
            return _run_one(networks, recipe, config, problem, target, key, to_w, from_w)

        return jax.vmap(one)(problems, observed, keys)

    arguments = ((generator, lpips), whole, observed, jnp.stack(keys))
    compiled = run.lower(*arguments).compile()
    start = time.perf_counter()
    restored, curves = jax.block_until_ready(compiled(*arguments))
    seconds = (time.perf_counter() - start) / config.steps / len(problems)
    return np.asarray(restored), np.asarray(curves), seconds


def _run_one(networks, recipe, config, problem, observed, key, to_w, from_w):
    generator, lpips = networks
    first = optimization.initial_state(generator, problem.start, config, key).latents
    first = first._replace(w=from_w(first.w))
    update = _normalised(config) if recipe.update == "normalised" else optax.scale_by_adam(0.9, config.adam_b2, 1e-8)

    def decode(iterate: Latents) -> Latents:
        return iterate._replace(w=to_w(iterate.w))

    def loss(iterate: Latents, jitter: Array, coarse: Array):
        jittered = decode(iterate)
        jittered = jittered._replace(w=jittered.w + jitter)
        terms = optimization.loss_terms(generator, lpips, problem, jittered, key)
        total = terms.total
        if recipe.coarse:
            image = observe(problem.degradation, optimization.render(generator, jittered))
            error = losses.average_pool(image, 4) - losses.average_pool(observed, 4)
            total += coarse * jnp.mean(error**2)
        return total, terms.perceptual

    def body(carry, step):
        iterate, moments = carry
        draw = jax.random.normal(jax.random.fold_in(key, step), iterate.w.shape)
        jitter = draw * config.numbers().jitter_at(step, problem.statistics.w_std)
        coarse = recipe.coarse * jnp.maximum(0.0, 1 - 2 * step / config.steps)
        (_, perceptual), gradient = jax.value_and_grad(loss, has_aux=True)(iterate, jitter, coarse)
        if recipe.tied:
            mean = jnp.broadcast_to(jnp.mean(gradient.w, 0, keepdims=True), gradient.w.shape)
            gradient = gradient._replace(w=jnp.where(step < recipe.tied * config.steps, mean, gradient.w))
        updates, moments = update.update(gradient, moments)
        rate = config.numbers().learning_rate_at(step)
        w = iterate.w - rate * updates.w
        pairs = zip(iterate.noise, updates.noise, strict=True)
        noise = tuple(map_ - rate * recipe.noise_rate * change for map_, change in pairs)
        return (Latents(w, latents.normalize_noise(noise)), moments), perceptual

    (last, _), curve = jax.lax.scan(body, (first, update.init(first)), jnp.arange(config.steps))
    last = decode(last)
    end = optimization.loss_terms(generator, lpips, problem, last, key).perceptual
    return optimization.render(generator, last), jnp.concatenate([curve, end[None]])


def _coordinates(generator: Generator, recipe: Recipe) -> tuple[Callable, Callable]:
    """Maps from what is optimised to w, and back."""
    if not recipe.whitened:
        return (lambda w: w), (lambda w: w)
    samples = np.asarray(latents.mapped_samples(generator, samples=10_000), np.float64)
    values, vectors = np.linalg.eigh(np.cov(samples.T))
    scale = np.sqrt(np.maximum(values, 1e-4 * values[-1]))
    mean = jnp.asarray(samples.mean(0), jnp.float32)
    root = jnp.asarray((vectors * scale).T, jnp.float32)
    inverse = jnp.asarray(vectors / scale, jnp.float32)

    def to_w(v: Float[Array, "*rows w_dim"]) -> Float[Array, "*rows w_dim"]:
        return jnp.broadcast_to(mean, v.shape) + v @ root

    def from_w(w: Float[Array, "*rows w_dim"]) -> Float[Array, "*rows w_dim"]:
        return (w - jnp.broadcast_to(mean, w.shape)) @ inverse

    return to_w, from_w


def _normalised(config: InversionConfig) -> optax.GradientTransformation:
    """Adam with one second moment per latent vector and noise map instead of one per number."""

    def length(gradient: Array) -> Array:
        """Mean square of a latent, or of a map: maps are square and no latent matrix is."""
        axes = -1 if gradient.ndim == 1 or gradient.shape[0] != gradient.shape[1] else (-2, -1)
        return jnp.mean(gradient**2, axes, keepdims=True)

    def init(variables: Latents):
        return jax.tree.map(jnp.zeros_like, variables), jax.tree.map(lambda x: 0 * length(x), variables), jnp.int32(0)

    def update(gradients: Latents, state, _=None):
        first, second, count = state
        b1, b2, count = config.adam_b1, config.adam_b2, count + 1
        first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, first, gradients)
        second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * length(g), second, gradients)
        c1, c2 = 1 - b1**count, 1 - b2**count
        steps = jax.tree.map(lambda m, v: m / c1 / (jnp.sqrt(v / c2) + config.adam_eps), first, second)
        return steps, (first, second, count)

    return optax.GradientTransformation(init, update)
