"""What the commands share: a command line made from a config dataclass, and errors shown as one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Config = TypeVar("Config")

INCOMPLETE = 1
USER_MISTAKE = 2
INTERRUPTED = 130


class Incomplete(Exception):
    """Some of many things failed, the others are done."""


def run_command(
    config_type: type[Config], run: Callable[[Config], Any], argv: Sequence[str] | None, *, prog: str, manual: str
) -> int:
    """Parses the command line into a config and runs the command.

    Args:
      config_type: dataclass whose fields become the arguments.
      run: the command.
      argv: arguments without the program's name; None for those of this process.
      prog: the program's name in the help.
      manual: text of the help.
    Returns:
      Exit code: 0, 1 if some of many things failed, 2 for a mistake of the user (told in one line on stderr), 130 after
      Ctrl-C.
    """
    import tyro  # only the command line needs it: `run(Config(...))` works without

    config = tyro.cli(
        config_type,
        args=None if argv is None else list(argv),
        prog=prog,
        description=manual,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    import absl.logging  # after parsing: `--help` need not wait for jax

    from experiments import programs
    from jaxgan.errors import UserError

    programs.keep()
    absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax warns of what is no matter, and raises what matters

    try:
        run(config)
    except Incomplete as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return INCOMPLETE
    except (UserError, OSError, FloatingPointError) as error:
        print(f"{prog}: error: {describe(error)}", file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt as error:
        print(f"{prog}: interrupted. {describe(error)}".rstrip(), file=sys.stderr)
        return INTERRUPTED
    return 0


def describe(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}"
    return " ".join(str(error).split())
