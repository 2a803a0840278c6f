"""The rows of a study, kept as they are measured, so that a study that was stopped goes on."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from jaxgan import files
from jaxgan.optimization import LossTerms

Row = dict[str, Any]


class Kept:
    """The sweeps of a study in their order, a file each."""

    def __init__(self, output: Path, settings: Mapping[str, Any]):
        """Goes on with the sweeps that were kept with the same settings.

        Args:
          output: the folder of the study; it exists.
          settings: everything that decides a row.
        """
        text = json.dumps(settings, sort_keys=True, default=str)
        self._folder = output / f".rows-{zlib.crc32(text.encode()):08x}"
        self._folder.mkdir(exist_ok=True)
        self._next = 0

    def sweep(self, measure: Callable[[], list[Row]]) -> list[Row]:
        """The rows of the next sweep: as an earlier process kept them, or measured now.

        Args:
          measure: makes the rows, of text, numbers, arrays, dicts of arrays, and losses.
        """
        path = self._folder / f"{self._next}.npz"
        self._next += 1
        if not path.exists():
            rows = measure()
            arrays = traverse_util.flatten_dict({str(i): _plain(row) for i, row in enumerate(rows)}, sep="/")
            with files.replacing(path) as partial, open(partial, "wb") as file:
                np.savez_compressed(file, **arrays)
        with np.load(path, allow_pickle=False) as file:
            rows = traverse_util.unflatten_dict({name: _value(file[name]) for name in file.files}, sep="/")
        return [_row(rows[str(i)]) for i in range(len(rows))]

    def remove(self) -> None:
        """Deletes what was kept, once the study is written."""
        shutil.rmtree(self._folder)


def _plain(row: Row) -> Row:
    return row | ({"losses": row["losses"]._asdict()} if "losses" in row else {})


def _row(row: Row) -> Row:
    return row | ({"losses": LossTerms(**row["losses"])} if "losses" in row else {})


def _value(array: np.ndarray) -> Any:
    """An array, or the number or text that it stands for."""
    return array if array.ndim else array.item()
