"""Converts weights of other precisions to float32, in which our networks are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import ml_dtypes
import numpy as np

from convert import rules

EXACT = {np.dtype(np.float16): "float16", np.dtype(ml_dtypes.bfloat16): "bfloat16"}
ROUNDED = {np.dtype(np.float64): "float64"}


def to_float32(arrays: Mapping[str, np.ndarray], table: rules.Table) -> tuple[dict[str, np.ndarray], list[str]]:
    """Widens half precision exactly and rounds double precision; other types stay, and the table refuses them later.

    Args:
      arrays: the arrays by the file's names.
      table: the table whose names become weights; all other arrays stay as they are.
    Returns:
      The arrays, and a note for each precision that was changed.
    Raises:
      ConversionError: the arrays share their numbers, so that copies would take far more memory than the file has.
    """
    changed = {n: a for n, a in arrays.items() if n in table and (a.dtype in EXACT or a.dtype in ROUNDED)}
    if not changed:
        return dict(arrays), []
    rules.check_sharing(changed.values())
    counts = Counter(array.dtype for array in changed.values())
    notes = [f"{counts[t]} arrays of {name} were widened to float32, exactly" for t, name in EXACT.items() if counts[t]]
    notes += [f"{counts[t]} arrays of {name} were rounded to float32" for t, name in ROUNDED.items() if counts[t]]
    with np.errstate(over="ignore"):  # what becomes infinite is refused with its name
        return {**arrays, **{name: array.astype(np.float32) for name, array in changed.items()}}, notes
