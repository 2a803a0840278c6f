"""Memory that this process may still take, of the machine or of the container that it runs in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def free_bytes(root: Path = Path("/")) -> int:
    """The memory that is free: that of the machine, or what the limits of Linux's control groups leave of it.

    Args:
      root: where /proc and /sys are; for tests.
    References:
      Linux kernel documentation, "Control Group v2" and "Memory Resource Controller" (v1).
    """
    import psutil

    return max(0, min([psutil.virtual_memory().available, *_left_by_groups(root)]))


def _left_by_groups(root: Path) -> Iterator[int]:
    """Limit minus usage of the control group of this process, and of those around it."""
    for folder, names in _groups(root):
        try:
            limit, usage = ((folder / name).read_text().strip() for name in names)
            if limit != "max":  # version 1 writes a number larger than any memory instead
                yield int(limit) - int(usage) + _reclaimable(folder)
        except (OSError, ValueError):  # no limit is read where there is none, as at the root of the groups
            continue


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, str]]]:
    """Folders of groups, with the names of their files of limit and usage."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for number, controllers, path in (line.split(":", 2) for line in lines):
        if number == "0":
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            mount, names = root / "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        inside = Path(path.lstrip("/"))
        for group in (inside, *inside.parents):  # the last is the mount itself, all that a container may see
            yield mount / group, names


def _reclaimable(folder: Path) -> int:
    """Memory that holds files which were read and can be read again; it counts as used."""
    lines = (folder / "memory.stat").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)
