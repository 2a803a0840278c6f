"""A bar of the steps that are done, with the lines of a run above it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from experiments.restore.face_run import Work
from experiments.runs import report
from jaxgan import loop

SPACES = {"w": "W", "w_plus": "W+", "w_plus_plus": "W++"}
"""Papers call the latent spaces so."""


class Progress:
    """Counts steps of faces; shows them on stderr unless it is quiet."""

    def __init__(self, bar: Any, *, quiet: bool):
        self._bar = bar
        self._quiet = quiet
        self._steps: dict[Work, int] = {}

    @classmethod
    @contextlib.contextmanager
    def shown(cls, title: str, *, total: int, initial: int = 0, quiet: bool = False) -> Iterator[Progress]:
        """The bar, on the screen as long as the block lasts.

        Args:
          title: stands before the bar.
          total: steps at its end.
          initial: steps at its beginning.
          quiet: show neither bar nor lines.
        """
        import tqdm

        disable = quiet or total == 0
        with tqdm.tqdm(total=total, initial=initial, unit="step", desc=title, file=sys.stderr, disable=disable) as bar:
            bar.set_postfix_str("compiling")
            yield cls(bar, quiet=quiet)

    def begin(self, work: Work) -> None:
        """Counts the steps of a face from where it is."""
        self._steps[work] = work.total_steps

    def end(self, work: Work) -> None:
        """Forgets a face."""
        del self._steps[work]

    def expect(self, more: int) -> None:
        """Moves the end of the bar by so many steps, or so many fewer."""
        self._bar.total += more
        self._bar.refresh()

    def advance(self, works: list[Work]) -> None:
        """Moves the bar to the steps that faces have now, and shows their mean loss."""
        if works and works[0].tuning_progress is not None:
            loss, distance = _mean_loss([work.tuning_progress for work in works])
            self._bar.set_postfix({"tuning": f"{loss:.4f}", "LPIPS": f"{distance:.4f}"}, refresh=False)
        elif works:
            loss, distance = _mean_loss([work.progress for work in works])
            method = works[0].settings
            phase = method.phases[method.phase_after(works[0].steps)]
            name = report.objective_name(phase, works[0].observed.shape[0])
            shown = {"loss": f"{loss:.4f}", name: f"{distance:.4f}"}
            if len(method.phases) > 1:
                shown["space"] = SPACES[phase.latent_space]
            self._bar.set_postfix(shown, refresh=False)
        self._bar.update(sum(work.total_steps - self._steps[work] for work in works))
        self._steps |= {work: work.total_steps for work in works}

    def note(self, text: str) -> None:
        """Shows at the end of the bar what goes on."""
        self._bar.set_postfix_str(text)

    def say(self, line: str) -> None:
        """Writes a line above the bar."""
        if not self._quiet:
            self._bar.write(line, file=sys.stderr)


def _mean_loss(progresses: list[loop.Progress]) -> tuple[float, float]:
    """The last loss and the last distance, each the mean of all faces."""
    last = [(progress.losses.total[-1], progress.losses.perceptual[-1]) for progress in progresses]
    loss, distance = (sum(values) / len(last) for values in zip(*last, strict=True))
    return loss, distance
