"""Tests of others that fail here, by name and with the reason: `*.txt`, for the guide's chapters on them.

A line that begins with `#` is the reason of the names below it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent


def reasons() -> dict[str, str]:
    """By the tests' names."""
    found: dict[str, str] = {}
    for file in sorted(HERE.glob("*.txt")):
        reason = ""
        for line in file.read_text().splitlines():
            if line.startswith("#"):
                reason = line.removeprefix("# ")
            elif line:
                found[line] = reason
    return found


def unlisted(failed: Iterable[str]) -> list[str]:
    """Those of the failed tests, named as stestr does, with their attributes, that are not listed."""
    known = reasons()
    return sorted(name for each in failed if (name := each.partition("[")[0].strip()) not in known)
