"""Ends all processes of a control group at once, whatever version of control groups the machine has.

Called by the fence, and by the agent where the fence does not. It waits for nothing: who calls comes again.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from kumoi.cloud.drivers.instance import groups_below

ROOT = Path("/sys/fs/cgroup")


def kill(group: str, root: Path = ROOT) -> int:
    """How many processes there were. In version 1 they are frozen until each has its signal: what goes on would make
    groups that nobody looked into yet; what is frozen does not end.
    """
    frozen = root / "freezer" / group
    _write(frozen / "freezer.state", "FROZEN")
    found = max((_kill_tree(tree) for tree in _trees(group, root)), default=0)
    _write(frozen / "freezer.state", "THAWED")
    if found:
        groups_below.thaw(frozen)
    return found


def _trees(group: str, root: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for tree in (root, *(path for path in root.iterdir() if path.is_dir())):
            if (tree / group / "cgroup.procs").exists():
                yield tree / group


def _kill_tree(tree: Path) -> int:
    """In this group and in those below it, of version 2 by one call."""
    found = 0
    if (tree / "cgroup.kill").exists():
        with contextlib.suppress(OSError):
            found = int("populated 1" in (tree / "cgroup.events").read_text())
        _write(tree / "cgroup.kill", "1")
        return found
    with contextlib.suppress(OSError, ValueError):
        top = os.open(tree.parent, groups_below.DIRECTORY)
        try:
            found = _kill_in(top, tree.name)
        finally:
            os.close(top)
    for above, name in groups_below.walk(tree):
        with contextlib.suppress(OSError, ValueError):
            found += _kill_in(above, name)
    return found


def _kill_in(above: int, name: str) -> int:
    """Of this group alone."""
    pids = [int(line) for line in groups_below.read(f"{name}/cgroup.procs", above).split()]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def _write(file: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
        with os.fdopen(handle, "w", encoding="ascii") as opened:
            opened.write(text)
