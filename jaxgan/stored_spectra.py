"""Reads and writes families of spectra: one family per network, task and method, for a few strengths of the damage.

The package brings those of the embedded network, which stand in where another network or method has none of its own.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgan import files, spectra
from jaxgan.errors import UserError
from jaxgan.spectra import Spectrum

PATH = Path(__file__).parent / "data" / "spectra.json"
"""The file of spectra that the package brings."""

FORMAT = "jaxgan-spectra-1"


class Source(NamedTuple):
    """The network, task and method that a family was measured with.

    Attributes:
      network: the digest of the network's file, `GeneratorConfig.source_sha256`.
      task: the name of the task: "inpaint", "deblur", ...
      method: the name of the way to invert.
    """

    network: str
    task: str
    method: str


class Family(NamedTuple):
    """Spectra of one source, which share their colours.

    Attributes:
      strengths: the strengths of the damage, positive and rising. That of a blur is sigma over the picture's width; a
        task of one strength has 1.
      spectra: one spectrum per strength.
    """

    strengths: tuple[float, ...]
    spectra: tuple[Spectrum, ...]

    def at(self, strength: float) -> Spectrum:
        """Interpolates in the logarithm of the strength; beyond the first or the last one, its spectrum is taken."""
        position = np.interp(math.log(strength), np.log(self.strengths), np.arange(len(self.strengths)))
        below = min(int(position), max(len(self.strengths) - 2, 0))
        above = min(below + 1, len(self.strengths) - 1)
        return spectra.interpolate(self.spectra[below], self.spectra[above], float(position - below))


class Library(NamedTuple):
    """All families of a file.

    Attributes:
      embedded: the source whose network and method stand in where families are missing.
      families: each family under its source.
    """

    embedded: tuple[str, str]
    families: dict[Source, Family]

    def find(self, task: str, *, network: str | None = None, method: str | None = None) -> Family | None:
        """Finds the family of a task for a network and method, or else that of the embedded network.

        Args:
          task: the name of the task.
          network, method: see `Source`; None stands for those that are embedded.
        Returns:
          The family, or None if the task has none at all.
        """
        own = Source(network or self.embedded[0], task, method or self.embedded[1])
        return self.families.get(own) or self.families.get(Source(self.embedded[0], task, self.embedded[1]))


def measure_family(
    pairs: Mapping[float, tuple[Float[np.ndarray, "n h w 3"], Float[np.ndarray, "n h w 3"]]],
) -> Family:
    """Measures the spectra of a family.

    Args:
      pairs: for each strength the truths and their reconstructions, see `spectra.measure_spectrum`.
    """
    strengths = tuple(sorted(pairs))
    truths, reconstructions = (np.concatenate([pairs[s][i] for s in strengths]) for i in (0, 1))
    colours = spectra.error_colours(truths, reconstructions)
    return Family(strengths, tuple(spectra.measure_spectrum(*pairs[s], colours=colours) for s in strengths))


def load(path: str | os.PathLike[str] = PATH) -> Library:
    """Reads a file that `save` wrote.

    Raises:
      UserError: the file is missing, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text())
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}, expected {FORMAT!r}")
        families = {Source(**entry["source"]): _family(entry) for entry in content["families"]}
        return Library(tuple(content["embedded"]), families)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: no file of spectra ({error}); write one with `stored_spectra.save`") from error


def save(path: str | os.PathLike[str], library: Library) -> None:
    """Writes families as JSON, with five digits of each moment."""
    entries = []
    for source, family in sorted(library.families.items()):
        moments = {
            name: [[[float(f"{v:.4e}") for v in row] for row in getattr(one, name)] for one in family.spectra]
            for name in Spectrum._fields[1:]
        }
        colours = family.spectra[0].colours.tolist()
        entries.append({"source": source._asdict(), "strengths": family.strengths, "colours": colours, **moments})
    content = {"format": FORMAT, "embedded": library.embedded}
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    files.write_text(path, json.dumps(content)[:-1] + f', "families": [\n{lines}\n]}}\n')


def _family(entry: dict) -> Family:
    colours = np.array(entry["colours"], np.float64)
    moments = zip(*(np.array(entry[name], np.float64) for name in Spectrum._fields[1:]), strict=True)
    return Family(tuple(entry["strengths"]), tuple(Spectrum(colours, *one) for one in moments))
