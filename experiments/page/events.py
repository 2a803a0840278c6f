"""What happens when something on the page is pressed: calls of `desk`, and what they change on the page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio

from experiments.cli import Mistakes, describe
from experiments.page import desk as desk_functions
from experiments.page import drafts, shown
from experiments.page.choices import Choices
from experiments.page.components import as_value
from experiments.page.desk import Desk
from experiments.page.drafts import Draft
from experiments.page.layout import DROP, MASK_WORDS, Layout
from experiments.page.runner import Task
from experiments.page.serving import COOKIE, visitor_of
from jaxgan.errors import UserError

Updates = dict[Any, Any]
EXPECTED = (UserError, Mistakes, ValueError, OSError)
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
SLOW: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}


def connect(page: Layout, desk: Desk) -> None:
    """Connects all components, inside of the `gradio.Blocks` that is being built."""
    everything = [value for value in vars(page).values()]
    update = _Updates(page, desk)

    def told(place: gradio.HTML, act: Callable[..., Updates]) -> Callable[..., Updates]:
        """Shows expected errors of an action in a place of the page."""

        def run(request: gradio.Request, *values: Any) -> Updates:
            try:
                return {page.problem: text(""), page.run_problem: text("")} | act(
                    visitor_of(dict(request.cookies)), *values
                )
            except EXPECTED as error:
                return {place: text(shown.problem(describe(error)))}

        return run

    # Opening a photograph.

    def open_upload(visitor: str, dropped: str) -> Updates:
        folder = desk.folder(visitor, json.loads(dropped)["name"])
        return update.of_draft(folder, desk.open(folder))

    def open_sample(visitor: str) -> Updates:
        return update.of_draft(*desk.open_sample(visitor))

    page.drop.upload(told(page.problem, open_upload), page.drop, everything, **SLOW)
    page.sample.click(told(page.problem, open_sample), None, everything, **SLOW)

    # Its faces.

    def click_faces(visitor: str, name: str, value: str, pointing: bool) -> Updates:
        folder, given = desk.folder(visitor, name), json.loads(value)
        if pointing:
            draft = desk.point(folder, given["eyes"])
        else:
            known = range(len(drafts.load(folder).faces))
            draft = desk.change(folder, chosen=tuple(index for index in given["chosen"] if index in known))
        return update.of_faces(folder, draft, pointing)

    def begin_or_end_pointing(visitor: str, name: str, pointing: bool) -> Updates:
        folder = desk.folder(visitor, name)
        draft = desk.change(folder, eyes=()) if pointing else drafts.load(folder)
        return update.of_faces(folder, draft, not pointing)

    def take_mark_back(visitor: str, name: str) -> Updates:
        folder = desk.folder(visitor, name)
        return update.of_faces(folder, desk.change(folder, eyes=drafts.load(folder).eyes[:-1]), True)

    def look_closer(visitor: str, name: str) -> Updates:
        folder = desk.folder(visitor, name)
        return update.of_faces(folder, desk.look_closer(folder), False)

    of_faces = [page.faces, page.faces_note, page.point, page.unpoint, page.closer, page.pointing, page.problem]
    of_faces.append(page.run_problem)
    page.faces.input(
        told(page.problem, click_faces),
        [page.draft, page.faces, page.pointing],
        of_faces,
        **QUICK,
        trigger_mode="multiple",
    )
    page.point.click(told(page.problem, begin_or_end_pointing), [page.draft, page.pointing], of_faces, **QUICK)
    page.unpoint.click(told(page.problem, take_mark_back), page.draft, of_faces, **QUICK)
    page.closer.click(told(page.problem, look_closer), page.draft, of_faces, **SLOW)

    # Its damage.

    def paint(visitor: str, name: str, value: str) -> Updates:
        desk.paint(desk.folder(visitor, name), json.loads(value)["strokes"])
        return {}

    def take_mask(visitor: str, name: str, dropped: str, white_is_damage: bool) -> Updates:
        folder = desk.folder(visitor, name)
        draft = desk.take_mask(folder, json.loads(dropped)["file"], white_is_damage=white_is_damage)
        return {page.painter: as_value(shown.painter(folder, draft))}

    def choose(visitor: str, name: str, *values: Any) -> Updates:
        choices = _choices(*values)
        desk.change(desk.folder(visitor, name), choices=choices)
        return update.of_choices(choices)

    problems = [page.problem, page.run_problem]
    controls = [page.damages, page.unknown, page.blur, page.attempts, page.doubt, page.network]
    page.painter.input(
        told(page.run_problem, paint), [page.draft, page.painter], problems, **QUICK, trigger_mode="always_last"
    )
    mask = [page.draft, page.mask, page.mask_means]
    page.mask.upload(told(page.run_problem, take_mask), mask, [page.painter, *problems], **SLOW)
    of_choices = [page.painting, page.amounts, page.unknown, page.blur, *problems]
    for control in controls:
        control.input(
            told(page.run_problem, choose), [page.draft, *controls], of_choices, **QUICK, trigger_mode="always_last"
        )

    # Its repair.

    def keep_all(visitor: str, name: str, painted: str, *values: Any) -> Path:
        """Keeps what the page shows now: a last stroke or choice may still be on its way."""
        folder = desk.folder(visitor, name)
        desk.change(folder, choices=_choices(*values))
        desk.paint(folder, json.loads(painted)["strokes"])
        return folder

    def preview(visitor: str, *values: Any) -> Updates:
        return {page.known: text(shown.known(desk.preview(visitor, keep_all(visitor, *values))))}

    def follow(visitor: str, task: Task) -> Iterator[Updates]:
        """Shows how a repair gets on, and its result."""
        for snapshot in desk.runner.watch(task):
            if snapshot.state in ("waiting", "running"):
                yield update.of_progress(snapshot)
        is_cleared = not (desk.store.root / visitor).exists()  # the visitor has deleted everything
        said = shown.problem("" if is_cleared else snapshot.message)
        after: Updates = {page.run_problem: text(said), page.problem: text("")}
        if desk.store.find(visitor, task.folder.name) and snapshot.state == "finished":
            after |= update.of_result(task.folder)
        yield update.of_idle() | after | update.of_history(visitor, task.folder.name)

    def repair(request: gradio.Request, *values: Any) -> Iterator[Updates]:
        try:
            visitor = visitor_of(dict(request.cookies))
            task = desk.begin(visitor, keep_all(visitor, *values))
        except EXPECTED as error:
            yield {page.run_problem: text(shown.problem(describe(error)))}
            return
        yield {page.done: gradio.update(visible=False), page.known: text(""), page.run_problem: text("")}
        yield from follow(visitor, task)

    def cancel(visitor: str) -> Updates:
        desk.cancel(visitor)
        return {}

    given = [page.draft, page.painter, *controls]
    page.preview.click(told(page.run_problem, preview), given, [page.known, *problems], **SLOW)
    page.repair.click(repair, given, everything, **SLOW)
    page.cancel.click(told(page.run_problem, cancel), None, problems, **QUICK)

    # Its result.

    def show_result(visitor: str, value: str) -> Updates:
        folder = desk.folder(visitor, json.loads(value)["taken"])
        return update.of_result(folder)

    def take_attempt(request: gradio.Request, name: str, value: str) -> Iterator[Updates]:
        try:
            visitor = visitor_of(dict(request.cookies))
            task = desk.take_attempt(visitor, desk.folder(visitor, name), json.loads(value)["taken"])
        except EXPECTED as error:
            yield {page.problem: text(shown.problem(describe(error)))}
            return
        yield from follow(visitor, task)

    def go_on(visitor: str, name: str) -> Updates:
        folder, draft = desk.go_on_from(visitor, desk.folder(visitor, name))
        return update.of_draft(folder, draft) | {page.done: gradio.update(visible=False)}

    def delete(visitor: str, name: str) -> Updates:
        shutil.rmtree(desk.folder(visitor, name))
        left = desk.finished(visitor)
        shows = update.of_result(left[0]) if left else {page.done: gradio.update(visible=False)}
        return shows | update.of_history(visitor, left[0].name if left else None)

    def clear(visitor: str) -> Updates:
        desk.clear(visitor)
        hidden = gradio.update(visible=False)
        empty = {page.drop: as_value(DROP), page.draft: None, page.result: None, page.known: text("")}
        return {page.desk: hidden, page.done: hidden, page.history: hidden} | empty

    page.earlier.input(told(page.problem, show_result), page.earlier, everything, **SLOW)
    page.strip.input(take_attempt, [page.result, page.strip], everything, **SLOW)
    page.more.click(told(page.problem, go_on), page.result, everything, **SLOW)
    page.delete.click(told(page.problem, delete), page.result, everything, **SLOW)
    page.clear.click(
        told(page.problem, clear),
        None,
        everything,
        js="(...values) => { if (!confirm('Delete all your photographs and results?')) throw 'kept'; return values; }",
        **SLOW,
    )

    # A page that is opened again.

    def come_back(visitor: str) -> Updates:
        updates, open_drafts = {}, desk.store.all(visitor, "draft")
        if open_drafts:
            updates |= update.of_draft(open_drafts[0], drafts.load(open_drafts[0]))
        ended = desk.finished(visitor)
        if ended:
            updates |= update.of_result(ended[0])
        return updates | update.of_history(visitor, ended[0].name if ended else None)

    def go_on_watching(request: gradio.Request) -> Iterator[Updates]:
        yield gradio.skip()  # Gradio empties all components after a generator that yields nothing
        visitor = dict(request.cookies).get(COOKIE, "")
        for task in desk.runner.of(visitor)[-1:]:
            yield from follow(visitor, task)

    gradio.on(None, told(page.problem, come_back), None, everything, **SLOW).then(
        go_on_watching, None, everything, **SLOW
    )


def _choices(damages: list[str], unknown: bool, blur: float, attempts: int, doubt: bool, network: str) -> Choices:
    return Choices(tuple(damages), unknown, float(blur), int(attempts), doubt, network)


def text(value: str) -> Updates:
    """A text, which takes no room where there is none."""
    return gradio.update(value=value, visible=bool(value))


class _Updates:
    """What the page shows after something has happened, by component."""

    def __init__(self, page: Layout, desk: Desk):
        self._page = page
        self._desk = desk

    def of_draft(self, folder: Path, draft: Draft) -> Updates:
        """A draft, with everything that was chosen for it."""
        page, choices = self._page, draft.choices
        pointing = bool(draft.eyes) or not draft.faces
        return {
            page.draft: folder.name,
            page.desk: gradio.update(visible=True),
            page.drop: as_value(DROP | {"words": f"{draft.name} is open. Drop another photograph here, or press."}),
            page.painter: as_value(shown.painter(folder, draft)),
            page.mask: as_value({"to": f"upload/mask/{folder.name}", "words": MASK_WORDS}),
            page.damages: list(choices.damages),
            page.attempts: choices.attempts,
            page.doubt: choices.shows_doubt,
            page.network: choices.network,
            page.known: text(""),
            **self.of_faces(folder, draft, pointing),
            **self.of_choices(choices),
        }

    def of_faces(self, folder: Path, draft: Draft, pointing: bool) -> Updates:
        """The faces of a draft; `pointing`: the visitor clicks on eyes."""
        page = self._page
        words = "Use the faces that were found" if pointing else "Mark the eyes myself"
        return {
            page.faces: as_value(shown.faces(folder, draft, pointing=pointing)),
            page.faces_note: shown.faces_note(draft, pointing=pointing),
            page.point: gradio.update(value=words, visible=bool(draft.faces) or not pointing),
            page.unpoint: gradio.update(visible=pointing and bool(draft.eyes)),
            page.closer: gradio.update(visible=not draft.eyes),
            page.pointing: pointing,
        }

    def of_choices(self, choices: Choices) -> Updates:
        """The parts that belong to the chosen damages; the painter is only hidden, so that nothing painted is lost."""
        page, some = self._page, set(choices.damages)
        return {
            page.painting: gradio.update(visible=True if "inpaint" in some else "hidden"),
            page.amounts: gradio.update(visible="deblur" in some),
            page.unknown: gradio.update(value=choices.is_unknown),
            page.blur: gradio.update(value=choices.blur, visible=not choices.is_unknown),
        }

    def of_progress(self, snapshot: Any) -> Updates:
        """A repair on its way."""
        page = self._page
        return {
            page.progress: text(shown.progress(snapshot)),
            page.live: text(shown.live(snapshot)),
            page.repair: gradio.update(interactive=False),
            page.cancel: gradio.update(visible=True, interactive=not snapshot.is_cancelled),
        }

    def of_idle(self) -> Updates:
        """No repair on its way."""
        page = self._page
        return {
            page.progress: text(""),
            page.live: text(""),
            page.repair: gradio.update(interactive=True),
            page.cancel: gradio.update(visible=False),
        }

    def of_result(self, folder: Path) -> Updates:
        """A finished repair."""
        page, attempts = self._page, shown.attempts(folder)
        return {
            page.result: folder.name,
            page.done: gradio.update(visible=True),
            page.compare: as_value(shown.compare(folder)),
            page.strip_note: gradio.update(visible=bool(attempts["items"])),
            page.strip: gradio.update(value=as_value(attempts), visible=bool(attempts["items"])),
            page.doubts: text(shown.doubts(folder)),
            page.facts: shown.facts(folder, desk_functions.estimates(folder)),
        }

    def of_history(self, visitor: str, taken: str | None) -> Updates:
        """All finished repairs of a visitor."""
        page, ended = self._page, self._desk.finished(visitor)
        has_any = bool(ended) or bool(self._desk.store.all(visitor, "draft"))
        return {
            page.history: gradio.update(visible=has_any),
            page.earlier: gradio.update(value=as_value(shown.earlier(ended, taken)), visible=bool(ended)),
        }
