"""Means and how sure they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

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
      seed: of the draws.
    Returns:
      The interval; as narrow as the mean for a single value, NaN for none.
    References:
      Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979, Annals of Statistics 7(1).
    """
    values = np.asarray(values, np.float64)
    if not len(values):
        return Mean(np.nan, np.nan, np.nan)
    draws = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(1), (2.5, 97.5))
    return Mean(float(values.mean()), float(low), float(high))
