"""Tells how sure a restoration is, from several inversions of one observation that begin at different places.

All of them explain the observation; where they differ, the observation has left it open. Inversions begin at the guess
plus the rows of `spread_starts`, `choose_samples` says which of the results count, and `measure_spread` compares their
restorations. The other functions say how well such a spread foretells the error, where the truth is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from jaxgan import latents
from jaxgan.generator import Generator

TOWARDS = 0.5
"""The share of the way from the mean latent to a random one by which a start is moved away from the guess."""

TOLERANCE = 0.1
"""A sample's loss is at most so much larger than the lowest one, as a share of that."""

FEWEST = 8
"""So many results of the lowest losses are samples in any case."""

INTERVAL = (0.1, 0.9)
"""The quantiles of the samples that an interval reaches between; it holds so much of the truth if all is well."""

OF_STARTS = 0xFFFF_FFFD
"""This number is folded into the keys of starts. Steps, folded in for the jitter, are fewer."""


def start_keys(key: PRNGKeyArray, *, count: int) -> Key[Array, " n"]:
    """Makes the keys of several inversions of one image: `key` itself, then others, whatever their number."""
    of_others = jax.random.fold_in(key, OF_STARTS)
    return jnp.stack([key, *(jax.random.fold_in(of_others, number) for number in range(1, count))])


def spread_starts(
    generator: Generator,
    w_avg: Float[Array, " w_dim"],
    key: PRNGKeyArray,
    *,
    count: int,
    label: int | None = None,
) -> Float[Array, "n w_dim"]:
    """Spreads the starts of several inversions of one image around their first w.

    Args:
      generator: maps a random z for each start to a latent.
      w_avg: the mean latent.
      key: decides the z; that of a start does not depend on how many there are.
      count: how many starts.
      label: class of a class-conditional network, from 0; None takes all its classes in turn.
    Returns:
      What to add to the first w, such as `offsets` of `invert_batch`: zero for the first start, half of the way from
      the mean latent to a random one for each of the others.
    Raises:
      ValueError: the network has no such class.
    """
    latents.check_label(generator, label)
    classes = generator.config.c_dim
    offsets = [jnp.zeros_like(w_avg)]
    for number, of_start in enumerate(start_keys(key, count=count)[1:], start=1):
        z = jax.random.normal(jax.random.fold_in(of_start, OF_STARTS), (1, generator.config.z_dim))
        ws = latents.map_z(generator, z, label=number % classes if label is None and classes else label)
        offsets.append(TOWARDS * (ws[0] - w_avg))
    return jnp.stack(offsets)


def choose_samples(losses: Sequence[float]) -> list[int]:
    """Chooses the results that explain the observation nearly as well as the best one.

    Args:
      losses: between the degraded results and the observation.
    Returns:
      The indices of those whose loss is within 10 % of the lowest one, or of the best 8 if they are fewer; the best
      comes first.
    """
    order = sorted(range(len(losses)), key=lambda index: losses[index])
    return order[: max(count_near(losses), FEWEST)]


def count_near(losses: Sequence[float]) -> int:
    """Counts the losses that are within 10 % of the lowest one, itself among them."""
    return sum(1 for loss in losses if loss <= (1 + TOLERANCE) * min(losses))


class Spread(NamedTuple):
    """The samples at each pixel.

    Attributes:
      mean: of the samples.
      low, high: their 10 % and 90 % quantiles.
      spread: their standard deviation, its root mean square over the channels; exactly zero where all are equal.
    """

    mean: Float[np.ndarray, "h w 3"]
    low: Float[np.ndarray, "h w 3"]
    high: Float[np.ndarray, "h w 3"]
    spread: Float[np.ndarray, "h w"]


def measure_spread(samples: Float[np.ndarray, "n h w 3"]) -> Spread:
    """Compares restorations of one observation, two or more, in whatever unit their values have."""
    samples = np.asarray(samples, np.float64)  # which sums equal numbers of 8 bits or float32 without rounding
    low, high = np.quantile(samples, INTERVAL, axis=0)
    return Spread(samples.mean(0), low, high, np.sqrt(samples.var(0, ddof=1).mean(-1)))


def most_different(samples: Float[np.ndarray, "n h w 3"], *, count: int) -> list[int]:
    """Picks samples that show the range of them: first the first one, then always the one farthest from all picked.

    Args:
      samples: the restorations, the best one first.
      count: how many to pick; all if there are fewer.
    Returns:
      Indices in the order of picking.
    References:
      Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", 1985, Theoretical Computer Science 38.
    """
    flat = np.asarray(samples, np.float64).reshape(len(samples), -1)
    picked, distances = [0], np.full(len(flat), np.inf)
    while len(picked) < min(count, len(flat)):
        distances = np.minimum(distances, ((flat - flat[picked[-1]]) ** 2).sum(-1))
        distances[picked] = -1
        picked.append(int(distances.argmax()))
    return picked


def rank_correlation(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> float:
    """Spearman's rank correlation of two lists of numbers; equal numbers share their mean rank. NaN for constants."""
    ranks = [_ranks(values) - (len(values) - 1) / 2 for values in (a, b)]
    lengths = [np.sqrt(rank @ rank) for rank in ranks]
    return float(ranks[0] @ ranks[1] / (lengths[0] * lengths[1])) if min(lengths) > 0 else np.nan


def _ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]


def coverage(truth: Float[np.ndarray, "*n"], low: Float[np.ndarray, "*n"], high: Float[np.ndarray, "*n"]) -> float:
    """Measures the share of true values that lie between two limits, such as the quantiles of `Spread`."""
    return float(np.mean((low <= truth) & (truth <= high)))


def calibration_factor(
    truth: Float[np.ndarray, "*n"],
    mean: Float[np.ndarray, "*n"],
    low: Float[np.ndarray, "*n"],
    high: Float[np.ndarray, "*n"],
) -> float:
    """Finds the factor on the samples' distances from their mean with which their interval holds 80 % of the truth.

    Args:
      truth: the true values, of images that the factor is not judged by afterwards.
      mean, low, high: as in `Spread`.
    Returns:
      The smallest such factor; 1 if the samples are as far apart as they should be, more if they agree too much, and
      infinity if they agree in too many values that are wrong.
    """
    error = np.asarray(truth, np.float64) - mean
    reach = np.maximum(np.where(error < 0, mean - low, high - mean), 0)
    needed = np.divide(np.abs(error), reach, out=np.where(error == 0, 0.0, np.inf), where=reach > 0)
    return float(np.quantile(needed, INTERVAL[1] - INTERVAL[0], method="inverted_cdf"))


def stretch(spread: Spread, factor: float) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"]]:
    """Moves the interval's limits away from the mean by a factor; returns the low and the high one."""
    mean, low, high, _ = spread
    return mean + factor * np.minimum(low - mean, 0), mean + factor * np.maximum(high - mean, 0)
