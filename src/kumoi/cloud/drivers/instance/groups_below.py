"""The control groups below one, however deep they are: a server's root makes them as it likes.

Python's own walk ends at a thousand levels, and a path at 4,095 characters: a server with deeper groups could not be
removed, nor what ran in them be ended. Called by whoever removes or ends groups.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def walk(top: Path) -> Iterator[tuple[int, str]]:
    """Each group below `top`, after those that are in it: a descriptor of the one that it is in, which is good until
    the next, and its name there. What goes meanwhile is left out.
    """
    with contextlib.suppress(OSError):
        here = os.open(top, DIRECTORY)
        try:
            names: list[str] = []
            waiting = [_inside(here)]
            while True:
                if waiting[-1]:
                    name = waiting[-1].pop()
                    with contextlib.suppress(OSError):
                        here = _go(here, name)
                        names.append(name)
                        waiting.append(_inside(here))
                    continue
                waiting.pop()
                if not names:
                    return
                here = _go(here, "..")
                yield here, names.pop()
        finally:
            os.close(here)


def thaw(top: Path) -> None:
    """Groups of version 1 below `top`, each of which has a state of its own."""
    for above, name in walk(top):
        with contextlib.suppress(OSError):
            write(f"{name}/freezer.state", "THAWED", above)


def read(file: str, above: int) -> str:
    handle = os.open(file, os.O_RDONLY | os.O_CLOEXEC, dir_fd=above)
    with os.fdopen(handle, encoding="ascii") as opened:
        return opened.read()


def write(file: str, text: str, above: int) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CLOEXEC, dir_fd=above)
    with os.fdopen(handle, "w", encoding="ascii") as opened:
        opened.write(text)


def _inside(group: int) -> list[str]:
    with contextlib.suppress(OSError), os.scandir(group) as entries:
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _go(group: int, name: str) -> int:
    """To another group; the descriptor of this one is closed."""
    there = os.open(name, DIRECTORY, dir_fd=group)
    os.close(group)
    return there
