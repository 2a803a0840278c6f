"""A command line made from a dataclass of options, whose errors are shown as one line each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Options = TypeVar("Options")

INCOMPLETE = 1
USER_MISTAKE = 2
INTERRUPTED = 130


class Incomplete(Exception):
    """Some of many things failed, the others are done."""


class Mistakes(Exception):
    """What is wrong with what the user asked for, a sentence for each problem; nothing has been done yet."""

    def __init__(self, *problems: str):
        super().__init__("\n".join(problems))
        self.problems = problems

    @classmethod
    def check(cls, problems: Sequence[str]) -> None:
        """Raises what is wrong, if anything is."""
        if problems:
            raise cls(*problems)


def run_command(
    options_type: type[Options], run: Callable[[Options], Any], argv: Sequence[str] | None, *, prog: str, manual: str
) -> int:
    """Parses the command line into options and runs the command.

    Args:
      options_type: dataclass whose fields become the arguments; those of dataclasses in it, too, without a prefix.
      run: the command.
      argv: arguments without the program's name; None for those of this process.
      prog: the program's name in the help.
      manual: text of the help.
    Returns:
      Exit code: 0, 1 if some of many things failed, 2 for mistakes of the user (told in one line each on stderr),
      130 after Ctrl-C or SIGTERM.
    """
    import tyro  # only the command line needs it: `run(options)` works without

    options = tyro.cli(
        options_type,
        args=None if argv is None else list(argv),
        prog=prog,
        description=manual,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone),
    )
    import absl.logging  # after parsing: `--help` need not wait for jax

    from experiments import interrupts, programs
    from jaxgan.errors import UserError

    programs.keep()
    absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax warns of what is no matter, and raises what matters

    try:
        with interrupts.handled():
            run(options)
    except Incomplete as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return INCOMPLETE
    except Mistakes as error:
        for problem in error.problems:
            print(f"{prog}: error: {problem}", file=sys.stderr)
        return USER_MISTAKE
    except (UserError, OSError, FloatingPointError) as error:
        print(f"{prog}: error: {describe(error)}", file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt as error:
        print(f"{prog}: interrupted. {describe(error)}".rstrip(), file=sys.stderr)
        return INTERRUPTED
    return 0


def say(line: str) -> None:
    """Tells the user something on the way; standard output is for results."""
    print(line, file=sys.stderr)


def describe(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}"
    return " ".join(str(error).split())
