"""Means and how sure they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

RESAMPLES = 10_000


class Mean(NamedTuple):
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def text(self, digits: int) -> str:
        """As in tables: `28.2 [27.1, 29.3]`."""
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def bootstrap(values: np.ndarray, *, seed: int = 0) -> Mean:
    """Mean of independent values, with the 2.5 and 97.5 percentiles of the means of as many drawn with replacement.

    Args:
      values: `[n]`, finite.
      seed: decides which values are drawn.
    Returns:
      The interval; as narrow as the mean for a single value, NaN for none.
    References:
      Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979, Annals of Statistics 7(1).
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return Mean(*[float(values.sum()) if len(values) else np.nan] * 3)
    draws = {"n_resamples": RESAMPLES, "method": "percentile", "rng": np.random.default_rng(seed)}
    interval = stats.bootstrap((values,), np.mean, **draws).confidence_interval
    return Mean(float(values.mean()), float(interval.low), float(interval.high))
