"""Tells the averaged generator of a file from the last one, by the names that projects give them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from convert.rules import NothingFoundError
from jaxgan.pickles import brief

Which = Literal["g_ema", "g"]

AVERAGED = ("g_ema", "G_ema", "Gs", "generator_smooth", "generator_ema", "G_smooth", "params_ema", "netG_ema", "ema")
LAST = ("g", "G", "params")
MAYBE_LAST = ("generator", "netG")
"""Names of the last weights if averaged ones lie beside them, and else simply of the generator."""


def choose(names: Iterable[str], which: Which, *, last: Iterable[str] = ()) -> str:
    """Chooses a generator by its name.

    Args:
      names: dotted names, e.g. ("g_ema.module", "g.module"); "" stands for a generator that is all of the file.
      which: the averaged weights, or the last ones.
      last: further names of last weights in the format at hand.
    Raises:
      NothingFoundError: there is no such generator, or there are several.
    """
    names = list(names)
    by_role: dict[str, list[str]] = {"g_ema": [], "g": [], "": []}
    for name in names:
        by_role[_role(name, (*LAST, *last))].append(name)
    if by_role["g_ema"]:
        by_role["g"] += [name for name in by_role[""] if _has(name, MAYBE_LAST)]
        by_role[""] = [name for name in by_role[""] if name not in by_role["g"]]
    found = by_role[which] or (by_role[""] if which == "g_ema" else [])
    if len(found) == 1:
        return found[0]
    shown = ", ".join(brief(name) or "one without a name" for name in names[:5])
    if len(found) > 1:
        raise NothingFoundError(f"there are {len(found)} StyleGAN2 generators, which are not told apart: {shown}.")
    if which == "g_ema" and by_role["g"]:
        raise NothingFoundError(f"there is no StyleGAN2 generator g_ema; the file holds {shown}: use --which g.")
    if names:
        raise NothingFoundError(
            f"there is no StyleGAN2 generator {which} among its networks; the file holds {shown}: leave --which out."
        )
    raise NothingFoundError(f"there is no StyleGAN2 generator {which}.")


def _role(name: str, last: tuple[str, ...]) -> str:
    return "g_ema" if _has(name, AVERAGED) else "g" if _has(name, last) else ""


def _has(name: str, words: tuple[str, ...]) -> bool:
    return any(part in words for part in name.split("."))
