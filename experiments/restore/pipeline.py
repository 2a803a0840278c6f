"""From photographs to finished folders: what is loaded, claimed, inverted in batches, chosen and pasted back."""

from __future__ import annotations

import itertools
import sys
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import jax

from experiments.restore import batch_loop as batch_run
from experiments.restore import batch_size, restarts
from experiments.restore import degrade as tasks
from experiments.restore.batch_loop import Engine
from experiments.restore.face_run import CannotGoOn, Work, explain_how_to_go_on
from experiments.restore.photograph import Photograph
from jaxgan import optimization
from jaxgan.errors import UserError
from jaxgan.generator import Generator
from jaxgan.inversion_config import InversionConfig
from jaxgan.lpips import LPIPS
from jaxgan.optimization import Prior

if TYPE_CHECKING:
    from experiments.invert import Config

LOADED_AHEAD = 2
"""Photographs that are read, and their faces found, before a place in the batch is free."""


class Record(Protocol):
    """What a restoration writes down as it goes; see `experiments.runs.manifest`."""

    sizes: dict[str, int]

    def write(self, item: str, state: Any, **facts: Any) -> None:
        """Adds an event of a photograph or of one of its faces."""

    def write_size(self, group: str, size: int) -> None:
        """Adds the size of a batch that was chosen by the memory there is."""


class Restoration:
    """Restores photographs in batches; tells the user and the record how it gets on."""

    def __init__(
        self,
        generator: Generator,
        lpips: LPIPS,
        photographs: Sequence[Photograph],
        *,
        batch_size: int | str,
        devices: Sequence[jax.Device],
        record: Record | None = None,
        quiet: bool = False,
    ):
        """Prepares a restoration.

        Args:
          generator, lpips: the networks.
          photographs: all of them, with equal options for batch, folders and face search.
          batch_size: a number or "auto".
          devices: that share a batch.
          record: gets every event; None for a single photograph, whose errors are raised instead.
          quiet: show neither bar nor lines.
        """
        self.generator = generator
        self.lpips = lpips
        self.photographs = list(photographs)
        self.batch_size = batch_size
        self.devices = tuple(devices)
        self.record = record
        self.quiet = quiet
        self._owner: dict[Work, Photograph] = {}
        self._steps: dict[Work, int] = {}
        self._lines: list[str] = []
        self._bar: Any = None
        self._priors: dict[tuple[int, int], Prior] = {}

    def run(self, *, resume: bool, overwrite: bool) -> None:
        """Does all of it.

        Raises:
          UserError, FloatingPointError: a single photograph cannot be restored, or a folder not be written.
          KeyboardInterrupt: see `batch_run.invert`; the message says how to go on.
        """
        import tqdm

        if self.record is None:
            (photograph,) = self.photographs
            works = photograph.claim(self.generator, resume=resume, overwrite=overwrite)
            self._say_what_is_finished(photograph, works)
            groups = [(photograph.config, self._own(photograph, works))]
            total, initial = sum(tasks.inversion_config(w.config).steps for w in works), sum(w.steps for w in works)
            count = len(works)
            name = photograph.path.name
        else:
            groups = [(group[0].config, self._works(group, resume=resume)) for group in _groups(self.photographs)]
            total = sum(self._steps_of(photograph) for photograph in self.photographs)
            initial, count, name = 0, None, f"{len(self.photographs)} photograph{'s' * (len(self.photographs) != 1)}"
        with tqdm.tqdm(
            total=total,
            initial=initial,
            unit="step",
            desc=f"{self.photographs[0].config.task} {name}",
            file=sys.stderr,
            disable=self.quiet or total == 0,
        ) as self._bar:
            self._bar.set_postfix_str("compiling")
            for config, works_of_group in groups:
                self._invert(config, works_of_group, count)
        self._bar = None
        if self.record is None and not works:
            self._complete(photograph)  # all was finished before, or no face needs anything
        for line in self._lines:
            self.say(line)

    def _prior(self, settings: InversionConfig) -> Prior:
        kind = (settings.w_samples, settings.start_samples)
        if kind not in self._priors:
            self._priors[kind] = optimization.make_prior(self.generator, settings)
        return self._priors[kind]

    def _invert(self, config: Config, works: Iterator[Work], count: int | None) -> None:
        """Inverts the faces of a group, whose options are all like `config` but for numbers."""
        first = next(works, None)
        if first is None:
            return
        engine = Engine(self.generator, self.lpips, self._prior, self.devices)
        size = self.batch_size
        if size == "auto":
            group = _group_name(config)
            size = self.record and self.record.sizes.get(group)
            if size is None:
                alike = [photo for photo in self.photographs if _group_name(photo.config) == group]
                most = sum(len(restarts.seeds(photo.config)) * max(1, len(photo.crops)) for photo in alike)
                size = batch_size.fitting_size(engine, first, most, self.say)
                if self.record:
                    self.record.write_size(group, size)
        batch_run.invert(engine, itertools.chain([first], works), size, self)

    def _works(self, group: list[Photograph], *, resume: bool) -> Iterator[Work]:
        """Loads photographs a little ahead of their turn; those that cannot be used are put on record."""
        with ThreadPoolExecutor(1) as loader:
            ahead: deque[tuple[Photograph, Future]] = deque()
            upcoming = iter(group)
            while True:
                for photograph in itertools.islice(upcoming, LOADED_AHEAD - len(ahead)):
                    ahead.append((photograph, loader.submit(photograph.load, self.generator, self.say)))
                if not ahead:
                    return
                photograph, loaded = ahead.popleft()
                try:
                    loaded.result()
                    with explain_how_to_go_on(photograph.folder):
                        works = photograph.claim(self.generator, resume=resume, overwrite=False)
                except CannotGoOn:
                    raise
                except (UserError, OSError) as error:
                    self._fail(photograph, error)
                    self._bar.total -= self._steps_of(photograph)
                    continue
                done = sum(work.steps for work in works)
                steps = tasks.inversion_config(photograph.config).steps
                self._bar.total += len(works) * steps - self._steps_of(photograph) - done
                self._bar.refresh()
                if not works:
                    self._complete(photograph)
                for work in self._own(photograph, works):
                    self.record.write(self._item(work), "started", image=str(photograph.path))
                    yield work
                photograph.crops = photograph.crops if photograph.config.paste_back else []

    def _own(self, photograph: Photograph, works: list[Work]) -> Iterator[Work]:
        for work in works:
            self._owner[work] = photograph
            self._steps[work] = work.steps
        return iter(works)

    # What `batch_run.invert` tells.

    def advanced(self, works: list[Work]) -> None:
        """Moves the bar."""
        self._bar.set_postfix(
            loss=f"{sum(work.progress.losses.total[-1] for work in works) / len(works):.4f}",
            lpips=f"{sum(work.progress.losses.perceptual[-1] for work in works) / len(works):.4f}",
            refresh=False,
        ) if works else None
        done = sum(work.steps - self._steps[work] for work in works)
        self._steps |= {work: work.steps for work in works}
        self._bar.update(done)

    def finished(self, work: Work, metrics: dict[str, Any]) -> None:
        """Puts a face on record and, with the last one, the photograph."""
        from experiments.runs import report

        photograph = self._owner.pop(work)
        del self._steps[work]
        line = f"{work.run.path}: {report.summary(metrics)}"
        if self.record is None:
            self._lines.append(line)  # below the bar
        else:
            self.say(line)
            if work.run.path != photograph.folder:
                self.record.write(self._item_of(photograph, work), "finished", result=metrics)
        if photograph.end(work):
            self._complete(photograph)

    def failed(self, work: Work, error: FloatingPointError) -> None:
        """Puts a face on record whose loss is not a number; raises if there is no record."""
        if self.record is None:
            raise FloatingPointError(f"{work.run.path}: {error} Start again with --overwrite.") from error
        photograph = self._owner.pop(work)
        del self._steps[work]
        self._fail(photograph, error)
        photograph.end(work)

    def say(self, line: str) -> None:
        """Writes a line above the bar."""
        import tqdm

        if self.quiet:
            return
        if self._bar is None:
            print(line, file=sys.stderr)
        else:
            tqdm.tqdm.write(line, file=sys.stderr)

    def _complete(self, photograph: Photograph) -> None:
        say = self._lines.append if self.record is None else self.say
        with explain_how_to_go_on(photograph.folder):
            if photograph.error is None:
                facts = photograph.complete(self.generator.config.resolution, say)
                if self.record is not None:
                    self.record.write(photograph.name, "finished", image=str(photograph.path), **facts)

    def _fail(self, photograph: Photograph, error: Exception) -> None:
        from experiments import cli

        photograph.error = cli.describe(error).removeprefix(f"{photograph.path}: ")
        self.record.write(photograph.name, "failed", image=str(photograph.path), error=photograph.error)
        self.say(f"{photograph.path} failed: {photograph.error}")

    def _item(self, work: Work) -> str:
        return self._item_of(self._owner[work], work)

    @staticmethod
    def _item_of(photograph: Photograph, work: Work) -> str:
        return str(work.run.path.relative_to(photograph.folder.parent))

    @staticmethod
    def _steps_of(photograph: Photograph) -> int:
        return tasks.inversion_config(photograph.config).steps * len(restarts.seeds(photograph.config))

    def _say_what_is_finished(self, photograph: Photograph, works: list[Work]) -> None:
        left = {work.run.path for work in works}
        for runs in photograph._seeds_of_face.values():
            for run in runs:
                if run.path not in left:
                    self.say(f"{run.path} is finished already; nothing to resume.")


def _groups(photographs: Sequence[Photograph]) -> list[list[Photograph]]:
    """Photographs that one compiled program serves, together."""
    groups: dict[str, list[Photograph]] = {}
    for photograph in photographs:
        groups.setdefault(_group_name(photograph.config), []).append(photograph)
    return list(groups.values())


def _group_name(config: Config) -> str:
    kernels = (config.kernel_size, config.assume_kernel_size)
    facts = (tasks.inversion_config(config).program(), sorted(config.tasks), kernels)
    return f"{'+'.join(sorted(config.tasks)) or 'invert'}-{zlib.crc32(repr(facts).encode()):08x}"
