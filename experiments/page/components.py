"""Parts of the page that Gradio has not, or not so that they work by keyboard and on a phone: small HTML components.

Each is a file of HTML, which never changes, and one of JavaScript, which draws the component's value, a text of JSON.
Their strokes and clicks are shares of a picture's sides, so that nothing depends on how large it is shown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio

PARTS = Path(__file__).parent / "parts"


def part(name: str, value: dict[str, Any] | None = None, **settings: Any) -> gradio.HTML:
    """Makes a component.

    Args:
      name: of its files in `parts`: "drop", "painter", "faces" or "compare".
      value: what it shows; None for nothing yet.
      settings: of `gradio.HTML`.
    """
    return gradio.HTML(
        as_value(value),
        html_template=(PARTS / f"{name}.html").read_text(),
        js_on_load=(PARTS / f"{name}.js").read_text(),
        apply_default_css=False,
        **settings,
    )


def as_value(value: dict[str, Any] | None) -> str:
    """The text of a component's value."""
    return "" if value is None else json.dumps(value)


def style() -> str:
    """The style sheet of the page."""
    return (PARTS / "page.css").read_text()
