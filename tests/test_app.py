"""The command that starts the page: mistakes are a line each, and nothing is made before they are told."""

import contextlib
import io
import socket
import sys

import pytest

from experiments.app import main

PROG = "python -m experiments.app"


def refused(*arguments) -> list[str]:
    """The lines of a command that is refused, without the program's name."""
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        assert main([str(argument) for argument in arguments]) == 2
    lines = stderr.getvalue().splitlines()
    assert all(line.startswith(f"{PROG}: error: ") for line in lines)
    return [line.removeprefix(f"{PROG}: error: ") for line in lines]


def test_all_wrong_options_are_told_together(tmp_path):
    lines = refused("--output", tmp_path / "app", "--port", -1, "--steps", 0, "--hours", 0, "--megapixels", 101)
    assert [line.split()[0] for line in lines] == ["--hours", "--megapixels", "--port", "--steps"]
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert refused("--output", tmp_path / "app") == ["the page needs the package gradio: pip install 'jaxgan[app]'."]


def test_a_port_that_is_taken_and_a_folder_without_networks_are_told(tmp_path):
    pytest.importorskip("gradio", reason="needs the extra jaxgan[app]")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert refused("--output", tmp_path / "app", "--port", port) == [
            f"port {port} of 127.0.0.1: Address already in use"
        ]
    (line,) = refused("--output", tmp_path / "app", "--models", tmp_path)
    assert line.startswith(f"{tmp_path} holds no network; expected a folder that `python -m convert stylegan2` wrote")
