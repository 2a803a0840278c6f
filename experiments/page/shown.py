"""What the page shows of drafts, repairs and results: values of its components, and texts."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.page import choices, found_faces, results, views
from experiments.page.drafts import Draft
from experiments.page.runner import Snapshot

ADVICE = {
    "--task deblur is for it": 'choose "It is blurred"',
    " Start again with --overwrite.": " Try it again with another number of attempts.",
    ", then repeat the command with --resume": ", then begin the repair again",
}
"""What errors advise to users of the command, and what users of the page can do instead."""


def address(folder: Path, picture: str) -> str:
    """The address of a picture of a draft or result, which changes with the file so that none is shown from memory."""
    changed = (folder / "views" / picture).stat().st_mtime_ns
    return f"mine/{folder.name}/{picture}?{changed}"


def faces(folder: Path, draft: Draft, *, pointing: bool) -> dict[str, Any]:
    """The value of the component of faces."""
    width, height = draft.size
    return {
        "picture": address(folder, "photograph.jpg"),
        "squares": found_faces.squares(draft),
        "chosen": draft.chosen,
        "eyes": [((x + 0.5) / width, (y + 0.5) / height) for x, y in draft.eyes],
        "pointing": pointing,
    }


def faces_note(draft: Draft, *, pointing: bool) -> str:
    """A sentence on what to do with the faces."""
    if pointing:
        if len(draft.eyes) % 2:
            return "Now click the centre of the **other eye** of this face."
        known = f"{_faces(len(draft.eyes) // 2)} marked. " if draft.eyes else ""
        return f"{known}Click the centre of **one eye**, then of **the other**. You may mark several faces."
    if not draft.faces:
        return "**No face was found.** Press *Mark the eyes myself*, and click both eyes of a face in the picture."
    found, chosen = len(draft.faces), len(draft.chosen)
    if found == 1:
        return "One face was found." if chosen else "The face is left alone; click its square to repair it."
    return f"{_faces(found)} were found, {chosen} of them will be repaired. Click a square to take or leave a face."


def painter(folder: Path, draft: Draft) -> dict[str, Any]:
    """The value of the painter."""
    has_file = (folder / "views" / "hole.png").exists()
    return {
        "picture": address(folder, "photograph.jpg"),
        "hole": address(folder, "hole.png") if has_file else None,
        "strokes": draft.painted,
    }


def compare(folder: Path) -> dict[str, str]:
    """The value of the slider between before and after."""
    return {name: address(folder, f"{name}.jpg") for name in ("before", "after")}


def attempts(folder: Path) -> dict[str, Any]:
    """The value of the strip of attempts; it has no items where there was one attempt."""
    result = results.load(folder)
    items = [
        {"name": Path(file).stem, "label": f"attempt {number}", "picture": address(folder, file)}
        for number, file in enumerate(result.attempts, start=1)
    ]
    return {"items": items, "taken": results.kept_attempt(folder)}


def earlier(folders: Sequence[Path], taken: str | None) -> dict[str, Any]:
    """The value of the strip of results."""
    items = [
        {
            "name": folder.name,
            "label": f"{results.load(folder).draft.name}, {_clock(folder)}",
            "picture": address(folder, "after.jpg"),
        }
        for folder in folders
    ]
    return {"items": items, "taken": taken}


def problem(text: str) -> str:
    """An error, to be read by eyes and by screen readers; it advises nothing that only the command has."""
    for of_command, of_page in ADVICE.items():
        text = text.replace(of_command, of_page)
    return f'<p class="page-problem" role="alert">{html.escape(text)}</p>' if text else ""


def known(pictures: Sequence[Any]) -> str:
    """What is taken for observed of each face."""
    images = "".join(
        f'<img src="{views.inline(views.png(picture))}" alt="What is known of face {number}">'
        for number, picture in enumerate(pictures, start=1)
    )
    about = "This is what is taken as true. The grey parts are made anew; everything else guides the repair."
    return f'<p>{about}</p><div class="known">{images}</div>' if pictures else "<p>Nothing of the faces is hidden.</p>"


def progress(snapshot: Snapshot) -> str:
    """How far a repair is, as a bar and in words."""
    share = 100 * snapshot.step / snapshot.steps if snapshot.steps else 0
    bar = f'<div class="bar"><div style="width: {share:.1f}%"></div></div>'
    return f'<div role="status" aria-live="polite"><p>{html.escape(_words(snapshot))}</p>{bar}</div>'


def live(snapshot: Snapshot) -> str:
    """The faces as they are now."""
    if snapshot.picture is None:
        return ""
    return (
        f'<div class="live"><img src="{views.inline(snapshot.picture)}" alt="The faces as they are found so far"></div>'
    )


def facts(folder: Path, estimated: Sequence[str]) -> str:
    """Sentences on a result, and the button for its download."""
    result = results.load(folder)
    lines = [_ended(result)]
    if estimated:
        lines.append(f"Estimated: {', '.join(estimated)}.")
    lines += result.lines
    told = "".join(f"<li>{html.escape(line)}</li>" for line in lines if line)
    return (
        f'<a class="button-link" href="mine/{folder.name}/download.zip" download>Download everything (zip)</a>'
        f'<details><summary>About this result</summary><ul class="quiet">{told}</ul>'
        f"<p>The same on the command line, in the folder of the download:</p>"
        f"<pre><code>{html.escape(results.command(result))}</code></pre></details>"
    )


def doubts(folder: Path) -> str:
    """Maps of how sure each part is."""
    pictures = "".join(
        f'<img src="{address(folder, name)}" alt="{name.split("-")[0]} of face {name.split("-")[1].split(".")[0]}">'
        for name in results.load(folder).doubts
    )
    about = "Where the map is coloured, other faces would fit the photograph as well: do not trust these parts."
    return f'<p>{about}</p><div class="doubts">{pictures}</div>' if pictures else ""


def _ended(result: results.Result) -> str:
    what = ", ".join(choices.DAMAGES[name].split(" - ")[0].lower() for name in result.draft.choices.damages)
    if result.stop_after is not None:
        return f"Repaired: {what}. You cancelled after step {result.stop_after}; this is the best until then."
    return f"Repaired: {what}."


def _words(snapshot: Snapshot) -> str:
    if snapshot.state == "waiting":
        count = "One repair is" if snapshot.before == 1 else f"{snapshot.before} repairs are"
        return f"{count} before yours. You may close this page; the result will be here when you come back."
    if snapshot.is_cancelled:
        return "Stopping, and keeping the best so far …"
    if not snapshot.steps:
        return "Looking at the photograph. The first repair takes up to a minute longer than the next ones."
    if snapshot.step >= snapshot.steps:
        return "Putting the faces back into the photograph …"
    left = "" if snapshot.seconds_left is None else f", about {_duration(snapshot.seconds_left)} left"
    return f"Step {snapshot.step} of {snapshot.steps}{left}."


def _duration(seconds: float) -> str:
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} seconds"
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minute{'s' * (minutes != 1)}"


def _clock(folder: Path) -> str:
    return time.strftime("%H:%M", time.localtime((folder / "views" / "after.jpg").stat().st_mtime))


def _faces(count: int) -> str:
    return "One face" if count == 1 else f"{count} faces"
