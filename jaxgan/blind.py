"""Estimates unknown parameters of a degradation from an observation, before the image behind it is known.

A grid of values is tried as one batch, and from its two best the logarithms of the parameters follow the gradient of
the likelihood (`power_likelihood`), together with the contrast and the noise of each quarter of the picture, which are
not known either. The quality of a JPEG file is read off its coefficients (`compression_comb`), the share of dropped
pixels off the black ones.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import optimize

from jaxgan import compression_comb, dropped_pixels, parameters, power_likelihood, start
from jaxgan.degradations import Degradation, Denoising, parts_of, without_draws
from jaxgan.generator import Generator
from jaxgan.images import check_image
from jaxgan.parameters import Parameter
from jaxgan.power_likelihood import QUARTERS, ROUNDING, Facts
from jaxgan.start import Samples

NEAR = 1.5
"""A value that is as many times larger or smaller than another one is near to it."""

DECIDED = 0.002
"""A mean loss that is so much higher than the lowest one speaks against a value. On two development faces, noise of 24
photons left .006 or more beside a blur of sigma 2, and noise of 6 photons .002 or less beside one of sigma 4."""

EDGE = 1.01
"""An estimate within this factor of the ends of its grid may as well lie beyond them."""

SMOOTH: tuple[Parameter, ...] = ("sigma", "length", "photons")
"""Parameters of whose logarithms the likelihood is smooth; those of the others are read off a grid."""

ROUNDS = 2
"""Each of several grids is tried so many times, as the best value of one depends on those of the others."""

PRECISE = 1e-6
"""The search for a minimum ends where a step changes the loss by less, relatively; float32 tells little less apart."""

MOST_SAMPLES, LEAST_SAMPLES, PIXELS = 64, 8, 1 << 20
"""So many samples are degraded for each value: those of about so many pixels."""

CONTRASTS = tuple(np.geomspace(0.25, 4, 9))
"""The multiples of the samples' power that are tried with each value of a grid."""

MOST_NOISE = 1e-3
"""The largest variance of white noise that is assumed, in units of the range [0, 1]; that of photons comes on top."""


class Estimate(NamedTuple):
    """An estimated parameter.

    Attributes:
      value: the estimate.
      spread: the lowest and the highest estimate from one quarter of the picture alone.
      flat: True if the picture does not decide: some value that is not near (see `NEAR`) to the estimate has a mean
        loss that is not `DECIDED` higher, or the estimate, of a `SMOOTH` one, lies at an end of the grid.
      grid: the values that were tried.
      losses: the mean loss per coefficient of each value of the grid, the other parameters being those estimated.
    """

    value: float
    spread: tuple[float, float]
    flat: bool
    grid: tuple[float, ...]
    losses: tuple[float, ...]


def estimate_parameters(
    generator: Generator,
    observed: Float[Array | np.ndarray, "h w 3"],
    degradation: Degradation,
    unknown: Collection[Parameter],
    *,
    samples: Samples | None = None,
) -> dict[Parameter, Estimate]:
    """Estimates parameters of the degradation that led to an observation.

    Args:
      generator: the network, whose samples tell how much detail to expect.
      observed: the observed image in [-1, 1], RGB at the generator's resolution.
      degradation: the operator, whose unknown parameters have any values. A blur has taps for the widest one that is
        looked for (see `parameters.widest_blur`).
      unknown: names of the parameters.
      samples: images of the network, such as `Prior.samples`; None draws some.
    Returns:
      An estimate for each name; `with_parameters` puts their values into the degradation.
    Raises:
      ValueError: the degradation has no such parameter, or the observation does not fit the generator.
    """
    check_image(observed, "observed")
    if observed.shape != generator.config.image_shape:
        raise ValueError(f"observed has shape {observed.shape}; this generator makes {generator.config.image_shape}.")
    parameters.check(degradation, unknown)
    size = observed.shape[0]
    count = min(MOST_SAMPLES, max(LEAST_SAMPLES, PIXELS // size**2))
    if samples is None:
        samples = start.draw_samples(generator, samples=count)
    observed = jnp.asarray(observed, jnp.float32)
    facts = power_likelihood.facts(samples.images[:count], degradation, observed)
    values = {name: parameters.grid(degradation, name, size) for name in unknown}
    found: dict[Parameter, Estimate] = {}
    if "factor" in unknown:
        degradation = _settle(
            found, degradation, "factor", values, _sweep(facts, degradation, "factor", values["factor"])[0]
        )
    if "quality" in unknown:
        losses = compression_comb.losses(observed, degradation, values["quality"])
        degradation = _settle(found, degradation, "quality", values, losses)
    smooth = [name for name in SMOOTH if name in unknown]
    if smooth:
        found |= _by_gradient(facts, degradation, {name: values[name] for name in smooth})
        degradation = parameters.with_parameters(degradation, {name: found[name].value for name in smooth})
    if "drop" in unknown:
        black, expected = dropped_pixels.black_shares(observed, degradation)
        losses = dropped_pixels.losses(black, expected, values["drop"])
        each = [dropped_pixels.share(black[[quarter]], expected[[quarter]]) for quarter in range(QUARTERS)]
        found["drop"] = _estimate("drop", values["drop"], losses, dropped_pixels.share(black, expected), each)
    return {name: found[name] for name in unknown}


def _settle(
    found: dict[Parameter, Estimate],
    degradation: Degradation,
    name: Parameter,
    values: Mapping[Parameter, np.ndarray],
    losses: Float[np.ndarray, "k 4"],
) -> Degradation:
    """Takes the best value of a grid for the estimate; returns the degradation with it."""
    grid = values[name]
    best = float(grid[losses.mean(1).argmin()])
    found[name] = _estimate(name, grid, losses, best, grid[losses.argmin(0)])
    return parameters.with_parameters(degradation, {name: found[name].value})


def _estimate(
    name: Parameter,
    grid: np.ndarray,
    losses: Float[np.ndarray, "k 4"],
    value: float,
    of_quarters: Sequence[float] | np.ndarray,
) -> Estimate:
    mean = losses.mean(1)
    is_near = np.abs(np.log(grid / max(value, 1e-9))) <= math.log(NEAR)
    is_last = name in SMOOTH and not grid[0] * EDGE < value < grid[-1] / EDGE
    flat = bool(is_last or np.any(mean[~is_near] < mean.min() + DECIDED))
    spread = (float(min(of_quarters)), float(max(of_quarters)))
    return Estimate(float(value), spread, flat, tuple(map(float, grid)), tuple(map(float, mean)))


def _by_gradient(
    facts: Facts, degradation: Degradation, grids: Mapping[Parameter, np.ndarray]
) -> dict[Parameter, Estimate]:
    """Estimates parameters of whose logarithms the likelihood is smooth.

    The grid of each is tried while the others are at their best values so far. The minimum is sought from the best two
    values of the last grid. The estimates of quarters are read off a finer grid.
    """
    names = tuple(grids)
    best = {name: float(grid[len(grid) // 2]) for name, grid in grids.items()}
    for name in names * ROUNDS if len(names) > 1 else names:
        losses, nuisance = _sweep(facts, parameters.with_parameters(degradation, best), name, grids[name])
        order = losses.mean(1).argsort()
        best[name] = float(grids[name][order[0]])
    bounds = [(math.log(grid[0]), math.log(grid[-1])) for grid in grids.values()]
    starts = [
        (np.log([grids[name][index] if one == name else best[one] for one in names]), nuisance[index])
        for index in order[:2]
    ]
    _, logs = min((_minimum(facts, degradation, names, *one, bounds) for one in starts), key=lambda found: found[0])
    values = dict(zip(names, map(float, np.exp(logs)), strict=True))
    settled = parameters.with_parameters(degradation, values)
    estimates = {}
    for one in names:
        if len(names) > 1:
            losses, _ = _sweep(facts, settled, one, grids[one])
        of_quarters = _of_quarters(facts, settled, one, grids[one], losses)
        estimates[one] = _estimate(one, grids[one], losses, values[one], of_quarters)
    return estimates


def _of_quarters(
    facts: Facts, degradation: Degradation, name: Parameter, grid: np.ndarray, losses: Float[np.ndarray, "k 4"]
) -> Float[np.ndarray, " 4"]:
    """The values of lowest loss in each quarter, on a finer grid around those of a coarse one."""
    lowest = losses.argmin(0)
    first, last = max(lowest.min() - 1, 0), min(lowest.max() + 1, len(grid) - 1)
    finer = np.geomspace(grid[first], grid[last], len(grid))
    losses, _ = _sweep(facts, degradation, name, finer)
    return np.array([_vertex(finer, losses[:, quarter]) for quarter in range(QUARTERS)])


def _vertex(grid: np.ndarray, losses: Float[np.ndarray, " k"]) -> float:
    """The value where the parabola through the lowest loss and its neighbours has its vertex, on a logarithmic grid."""
    lowest = int(losses.argmin())
    if lowest in (0, len(grid) - 1):
        return float(grid[lowest])
    below, here, above = losses[lowest - 1 : lowest + 2]
    curvature = below - 2 * here + above
    shift = 0.5 * (below - above) / curvature if curvature > 0 else 0.0
    return float(grid[lowest] * (grid[1] / grid[0]) ** shift)


def _minimum(
    facts: Facts,
    degradation: Degradation,
    names: tuple[Parameter, ...],
    logs: Float[np.ndarray, " p"],
    nuisance: Float[np.ndarray, "2 4"],
    bounds: list[tuple[float, float]],
) -> tuple[float, Float[np.ndarray, " p"]]:
    """Follows the gradient of the mean loss from given parameters to the nearest minimum, within bounds."""
    count = len(names)

    def at(x: np.ndarray) -> tuple[float, np.ndarray]:
        of_parameters, others = jnp.asarray(x[:count], jnp.float32), jnp.asarray(x[count:], jnp.float32).reshape(2, 4)
        loss, gradients = value_and_gradients(facts, degradation, names, of_parameters, others)
        return float(loss), np.concatenate([np.asarray(one, np.float64).ravel() for one in gradients])

    limits = [np.log([CONTRASTS[0], CONTRASTS[-1]])] * QUARTERS + [np.log(_floors(degradation)[[0, -1]])] * QUARTERS
    first = np.concatenate([logs, nuisance.ravel()])
    found = optimize.minimize(
        at,
        first,
        jac=True,
        method="L-BFGS-B",
        bounds=[*bounds, *limits],
        options={"ftol": PRECISE, "gtol": PRECISE},
    )
    return float(found.fun), found.x[:count]


@partial(jax.jit, static_argnames="names")
def value_and_gradients(
    facts: Facts,
    degradation: Degradation,
    names: tuple[Parameter, ...],
    logs: Float[Array, " p"],
    nuisance: Float[Array, "2 4"],
) -> tuple[Float[Array, ""], tuple[Float[Array, " p"], Float[Array, "2 4"]]]:
    """Computes the mean loss of all quarters, and its gradients.

    Args:
      facts, degradation: the constants, and the operator whose parameters are replaced.
      names, logs: the parameters and their logarithms.
      nuisance: the logarithms of contrast and floor in each quarter (see `power_likelihood.variance`).
    """

    def loss(logs: Float[Array, " p"], nuisance: Float[Array, "2 4"]) -> Float[Array, ""]:
        values = {name: jnp.exp(logs[index]) for index, name in enumerate(names)}
        assumed = parameters.with_parameters(degradation, values)
        variance = power_likelihood.variance(assumed, facts, *jnp.exp(nuisance))
        return jnp.mean(power_likelihood.mean_losses(facts.power, variance))

    return jax.value_and_grad(loss, argnums=(0, 1))(logs, nuisance)


def _sweep(
    facts: Facts, degradation: Degradation, name: Parameter, grid: np.ndarray
) -> tuple[Float[np.ndarray, "k 4"], Float[np.ndarray, "k 2 4"]]:
    """The losses of all values of a grid, with the contrasts and noise that suit each best, and the logs of these."""
    kind = jnp.int32 if name == "factor" else jnp.float32
    found = _losses(
        facts,
        degradation,
        name,
        jnp.asarray(grid, kind),
        jnp.asarray(CONTRASTS, jnp.float32),
        jnp.asarray(_floors(degradation), jnp.float32),
    )
    losses, nuisance = jax.tree.map(lambda array: np.asarray(array, np.float64), found)
    return losses, nuisance


@partial(jax.jit, static_argnames="name")
def _losses(facts, degradation, name, values, contrasts, floors):
    def of_value(value: Array) -> tuple[Float[Array, " 4"], Float[Array, "2 4"]]:
        assumed = parameters.with_parameters(degradation, {name: value})
        signal = power_likelihood.signal_power(assumed, facts.samples)
        noise = power_likelihood.noise_power(assumed, facts)

        def loss(pair: Float[Array, " 2"]) -> Float[Array, " 4"]:
            return power_likelihood.mean_losses(facts.power, pair[0] * signal + noise + pair[1])

        pairs = jnp.stack(jnp.meshgrid(contrasts, floors), -1).reshape(-1, 2)
        table = jax.lax.map(loss, pairs)  # [pairs, 4]
        return jnp.min(table, 0), jnp.log(pairs[jnp.argmin(table, 0)].T)

    return jax.lax.map(of_value, values)


def _floors(degradation: Degradation) -> np.ndarray:
    """The variances of white noise to try: that of rounding alone, where photons make noise of their own."""
    has_photons = any(isinstance(part, Denoising) for part in parts_of(without_draws(degradation)))
    return np.array([ROUNDING] * 2) if has_photons else np.geomspace(ROUNDING, MOST_NOISE, 8)
