"""The help of all commands: options in groups, each default told once and in words."""

import contextlib
import importlib
import io
import re

import pytest
from test_structure import COMMANDS

CONVERSIONS = ("stylegan2", "lpips", "inspect", "verify", "export")


def help_of(module: str, *argv: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as stdout, contextlib.suppress(SystemExit):
        importlib.import_module(module).main([*argv, "--help"])
    return stdout.getvalue()


@pytest.mark.parametrize(
    ("module", "argv"),
    [(f"experiments.{name}", ()) for name in COMMANDS] + [("convert.__main__", (name,)) for name in CONVERSIONS],
)
def test_a_default_is_told_once_and_in_words(module, argv):
    text = re.sub(r"[\s│]+", " ", help_of(module, *argv))
    assert len(re.findall(r" --[a-z]", text)) > (0 if argv == ("verify",) else 2)  # that has none but --help
    assert "None" not in text and "(default: )" not in text
    assert not re.search(r"Default[: ]", text)  # it stands in brackets


def test_options_of_invert_are_grouped():
    groups = re.findall(r"(\w+) options  ", help_of("experiments.invert").replace("─", " "))
    assert groups == ["task", "photograph", "network", "optimisation", "batches", "output"]


def test_an_example_stays_on_its_lines():
    assert "two_portraits.jpg \\\n" in help_of("experiments.invert")
