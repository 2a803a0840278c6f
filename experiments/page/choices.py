"""What a visitor chose, as the options of the command `experiments.invert`: the page has no way of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

from experiments.options import (
    Damage,
    FaceChoice,
    InvertOptions,
    KnownTask,
    LoopOptions,
    Machines,
    Networks,
    Output,
    Photographs,
    Seeds,
)

DAMAGES = {
    "inpaint": "Scratches, spots or holes - I paint them",
    "colorize": "The colours are gone",
    "deblur": "It is blurred",
    "upsample": "It is too small",
    "denoise": "It is grainy (noise)",
    "dejpeg": "It shows blocks (saved with low quality)",
}
"""What may be wrong with a photograph, by the task that undoes it."""

SNAPSHOT_EVERY = 5
"""Steps between two pictures that are shown on the way."""

STARTS_OF_A_MAP = 8
"""Searches for each face whose results are compared where the visitor wants to see the doubt."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """What a visitor chose; the defaults are those of the command.

    Attributes:
      damages: keys of `DAMAGES`, one or more.
      is_unknown: how far it is blurred is to be estimated; noise, size and compression always are.
      blur: standard deviation of the blur in pixels of the photograph, if it is known.
      attempts: how many searches are made for each face, from different beginnings.
      shows_doubt: whether to draw how sure each part of the result is, which takes the place of the attempts.
      network: folder of the network, or "demo".
    """

    damages: tuple[str, ...] = ("inpaint",)
    is_unknown: bool = True
    blur: float = 3.0
    attempts: int = 1
    shows_doubt: bool = False
    network: str = "demo"

    @property
    def searches(self) -> int:
        """How many searches are made for each face."""
        return STARTS_OF_A_MAP if self.shows_doubt else self.attempts

    def __post_init__(self):
        if unknown := set(self.damages) - set(get_args(KnownTask)):
            raise ValueError(f"unknown damage {', '.join(sorted(unknown))}; expected some of {', '.join(DAMAGES)}.")


def damage_of(choices: Choices, mask: Path | None) -> Damage:
    """The damage of a photograph.

    Args:
      choices: the visitor's.
      mask: its file, where holes are painted.
    Raises:
      ValueError: nothing is chosen.
    """
    if not choices.damages:
        raise ValueError("Say what is wrong with the photograph: choose one damage or more.")
    first, *others = (name for name in DAMAGES if name in choices.damages)
    known: dict[str, object] = {}
    if "deblur" in choices.damages:
        known |= {"blind": ("sigma",)} if choices.is_unknown else {"sigma": float(choices.blur)}
    if "inpaint" in choices.damages:
        known |= {"mask": mask, "trust_mask": True}
    return Damage(task=first, also=tuple(others), already_degraded=True, **known)


def options_of(
    choices: Choices,
    photograph: Path,
    *,
    mask: Path | None,
    faces: FaceChoice,
    output: Path,
    steps: int | None = None,
    batch_size: int = 1,
    stop_after: int | None = None,
    keep: str | None = None,
) -> InvertOptions:
    """The options of the command that does what the visitor chose.

    Args:
      choices: the visitor's.
      photograph, mask: the files.
      faces: where the faces are.
      output: folder to write.
      steps: of the search, None for those of the command.
      batch_size: faces times attempts that are worked on at once; a fixed number, so that every bit repeats.
      stop_after: the step after which the visitor cancelled, None if that did not happen.
      keep: folder of the attempt that the visitor chose, None for the nearest to the photograph.
    Raises:
      ValueError: nothing is chosen.
    """
    if choices.shows_doubt:
        seeds = Seeds(uncertainty=STARTS_OF_A_MAP, keep=keep)
    else:
        seeds = Seeds(restarts=choices.attempts, keep=keep)
    return InvertOptions(
        damage=damage_of(choices, mask),
        photographs=Photographs(image=(photograph,)),
        faces=faces,
        networks=Networks(model=choices.network),
        loop=LoopOptions(steps=steps, stop_after=stop_after),
        seeds=seeds,
        machines=Machines(batch_size=batch_size),
        output=Output(output=output, paste_back=True, snapshot_every=SNAPSHOT_EVERY),
    )
