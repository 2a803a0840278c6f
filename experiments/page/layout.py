"""The page's components, from top to bottom; `events` says what they do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import gradio

from experiments.page.choices import DAMAGES, Choices
from experiments.page.components import part
from experiments.page.limits import Limits

TITLE = "Repair a photograph"
DROP = {
    "to": "upload/photograph",
    "words": "Drop a photograph here, or press to choose one.",
}
MASK_WORDS = "Drop it here, or press to choose it."


@dataclasses.dataclass(frozen=True)
class Layout:
    """All components that events read or change; `draft` and `result` hold the names of folders."""

    draft: gradio.State
    result: gradio.State
    pointing: gradio.State
    problem: gradio.HTML
    drop: gradio.HTML
    sample: gradio.Button
    desk: gradio.Column
    faces: gradio.HTML
    faces_note: gradio.Markdown
    point: gradio.Button
    unpoint: gradio.Button
    closer: gradio.Button
    damages: gradio.CheckboxGroup
    painting: gradio.Column
    painter: gradio.HTML
    mask: gradio.HTML
    mask_means: gradio.Radio
    amounts: gradio.Column
    unknown: gradio.Checkbox
    blur: gradio.Slider
    attempts: gradio.Slider
    doubt: gradio.Checkbox
    network: gradio.Dropdown
    preview: gradio.Button
    known: gradio.HTML
    repair: gradio.Button
    cancel: gradio.Button
    run_problem: gradio.HTML
    progress: gradio.HTML
    live: gradio.HTML
    done: gradio.Column
    compare: gradio.HTML
    strip_note: gradio.Markdown
    strip: gradio.HTML
    doubts: gradio.HTML
    facts: gradio.HTML
    more: gradio.Button
    delete: gradio.Button
    history: gradio.Column
    earlier: gradio.HTML
    clear: gradio.Button


def build(networks: Sequence[tuple[str, str]], limits: Limits) -> Layout:
    """Makes all components, inside of the `gradio.Blocks` that is being built.

    Args:
      networks: descriptions and values of the networks to choose from.
      limits: for the texts.
    """
    made: dict[str, gradio.blocks.Block] = {name: gradio.State(None) for name in ("draft", "result")}
    made["pointing"] = gradio.State(False)
    gradio.Markdown(
        f"# {TITLE}\nOpen a photograph with faces, say what is wrong with it, and watch it being repaired. "
        "It stays with this program: nothing is sent anywhere else."
    )
    made["drop"] = part("drop", DROP, elem_id="drop")
    made["sample"] = gradio.Button("Try it with a sample portrait", elem_id="sample", size="sm")
    made["problem"] = gradio.HTML(visible=False, elem_id="problem")
    with gradio.Column(visible=False, elem_id="desk") as made["desk"]:
        made |= _faces() | _damage() | _more_choices(networks, limits)
        gradio.Markdown("## 3. Repair it")
        with gradio.Row():
            made["preview"] = gradio.Button("Show what is kept", elem_id="preview")
            made["repair"] = gradio.Button("Repair", variant="primary", elem_id="repair")
        made["run_problem"] = gradio.HTML(visible=False, elem_id="run-problem")
        made["known"] = gradio.HTML(visible=False, elem_id="known")
    made["progress"] = gradio.HTML(visible=False, elem_id="progress")
    made["live"] = gradio.HTML(visible=False, elem_id="live")
    made["cancel"] = gradio.Button("Cancel, and keep the best so far", visible=False, elem_id="cancel")
    made |= _done(limits)
    return Layout(**made)


def _faces() -> dict[str, gradio.blocks.Block]:
    made = {}
    gradio.Markdown("## 1. Which faces?")
    made["faces_note"] = gradio.Markdown(elem_id="faces-note")
    made["faces"] = part("faces", elem_id="faces")
    with gradio.Row():
        made["point"] = gradio.Button("Mark the eyes myself", size="sm", elem_id="point")
        made["unpoint"] = gradio.Button("Take the last mark back", size="sm", visible=False, elem_id="unpoint")
        made["closer"] = gradio.Button("A face is missing: look closer", size="sm", elem_id="closer")
    return made


def _damage() -> dict[str, gradio.blocks.Block]:
    made = {}
    gradio.Markdown("## 2. What is wrong with it?")
    made["damages"] = gradio.CheckboxGroup(
        [(words, name) for name, words in DAMAGES.items()],
        value=list(Choices().damages),
        label="Choose all that apply",
        elem_id="damages",
    )
    with gradio.Column(elem_id="painting") as made["painting"]:
        gradio.Markdown("Paint over everything that is to be replaced. It becomes red.")
        made["painter"] = part("painter", elem_id="painter")
        with gradio.Accordion("I have the damage as a picture of its own", open=False):
            made["mask_means"] = gradio.Radio(
                [("black", False), ("white", True)], value=False, label="In that picture, the damage is"
            )
            made["mask"] = part("drop", {"to": "", "words": MASK_WORDS}, elem_id="mask")
    with gradio.Column(visible=False) as made["amounts"]:
        made["unknown"] = gradio.Checkbox(
            True, label="I do not know how much: the program estimates it", elem_id="unknown"
        )
        made["blur"] = gradio.Slider(
            0.5,
            30,
            value=Choices().blur,
            step=0.1,
            label="How far the blur spreads, in pixels of the photograph",
            info="About half the width of the soft rim along a sharp edge.",
            visible=False,
            elem_id="blur",
        )
    return made


def _more_choices(networks: Sequence[tuple[str, str]], limits: Limits) -> dict[str, gradio.blocks.Block]:
    made = {}
    with gradio.Accordion("More choices", open=False):
        made["attempts"] = gradio.Slider(
            1,
            min(4, limits.searches),
            value=1,
            step=1,
            label="Attempts",
            info="Each begins elsewhere and takes its time; you choose the best of them.",
            elem_id="attempts",
        )
        made["doubt"] = gradio.Checkbox(
            False,
            label="Also draw a map of how sure each part of the face is",
            elem_id="doubt",
        )
        made["network"] = gradio.Dropdown(
            list(networks), value="demo", label="Network that knows what faces look like", elem_id="network"
        )
    return made


def _done(limits: Limits) -> dict[str, gradio.blocks.Block]:
    made = {}
    with gradio.Column(visible=False, elem_id="done") as made["done"]:
        gradio.Markdown("## The result\nMove the slider, or use the arrow keys, to compare.")
        made["compare"] = part("compare", elem_id="compare")
        made["strip_note"] = gradio.Markdown("**Choose an attempt:**", visible=False)
        made["strip"] = part("strip", elem_id="attempt-strip")
        made["doubts"] = gradio.HTML(visible=False, elem_id="doubts")
        made["facts"] = gradio.HTML(elem_id="facts")
        with gradio.Row():
            made["more"] = gradio.Button("Repair more of it", elem_id="more")
            made["delete"] = gradio.Button("Delete this result", elem_id="delete")
    with gradio.Column(visible=False, elem_id="history") as made["history"]:
        gradio.Markdown(
            "## Your photographs\n"
            f"They are kept for {limits.hours:g} hours, also if you close this page, and then deleted."
        )
        made["earlier"] = part("strip", elem_id="earlier")
        made["clear"] = gradio.Button("Delete all my photographs and results now", size="sm", elem_id="clear")
    return made
