"""Ctrl-C, and SIGTERM, which schedulers send: at once where nothing is lost by it, postponed where something would be.

A command holds `handled` for its whole run, so that SIGTERM ends it as Ctrl-C does. A loop whose work must not be torn
holds `postponed`, and asks between two pieces of it whether it should stop:

    with handled():
        prepare()
        with postponed(say) as requested:
            while work_is_left() and not requested():
                do_some_work()
            save()
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt in the block."""
    with _handler(_interrupt):
        yield


@contextlib.contextmanager
def postponed(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM wait in the block: the first is remembered, the second raises KeyboardInterrupt at once.

    Args:
      say: is given a line for the user when the first one comes.
    Yields:
      A function that tells whether one has come.
    Raises:
      KeyboardInterrupt: the block has ended and one has come.
    """
    asked = threading.Event()

    def remember(number: int, frame: Any) -> None:
        if asked.is_set():
            _interrupt(number, frame)
        asked.set()
        say("stopping when this piece of work is done; press Ctrl-C again to stop at once.")

    with _handler(remember):
        yield asked.is_set
    if asked.is_set():
        raise KeyboardInterrupt


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _handler(handler: Callable[[int, Any], None]) -> Iterator[None]:
    """Installs a handler; in other threads than the main one, which get no signals, it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
