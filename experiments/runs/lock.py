"""A lock on what one process writes, a run folder or a manifest, so that no other writes it at the same time."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from jaxgan.errors import UserError


class Lock:
    """Held by one process until it is released, or until the process ends, however it ends."""

    def __init__(self, folder: Path, name: str = "run"):
        """Prepares a lock.

        Args:
          folder: exists; the lock is a file in it.
          name: tells apart the locks of a folder.
        """
        import filelock

        self.path = folder / f".{name}.lock"
        self._holder = folder / f".{name}.holder"  # not in the file of the lock, which a second process empties
        # The thread that writes the report of a run releases what the main thread holds.
        self._lock = filelock.FileLock(self.path, timeout=0, thread_local=False)

    def acquire(self) -> Lock:
        """Takes the lock and notes who holds it.

        Raises:
          UserError: another process holds it; the message says which.
        """
        import filelock

        try:
            self._lock.acquire()
        except filelock.Timeout:
            who = self._holder.read_text().strip() if self._holder.exists() else "another process"
            raise UserError(
                f"{self.path.parent} is being written by {who}; wait until it ends, or choose another --output."
            ) from None
        self._holder.write_text(f"process {os.getpid()} on {socket.gethostname()}\n")
        return self

    def release(self) -> None:
        """Gives the lock back and removes its files; does nothing if it is not held."""
        if self._lock.is_locked:
            self._holder.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
            self._lock.release()

    def is_file_of_it(self, file: Path) -> bool:
        """Whether a file belongs to the lock."""
        return file in (self.path, self._holder)

    def __enter__(self) -> Lock:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()
