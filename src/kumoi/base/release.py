"""Releases by name, such as "1.2.0", and which of two is newer. Called wherever two of them meet."""

from __future__ import annotations


def numbers(release: str) -> tuple[int, ...]:
    """To compare releases by: "1.2.0" and "1.2" are the same, and so is "1.2.0.dev3"."""
    found: list[int] = []
    for part in release.split("."):
        if not part.isdecimal():
            break
        found.append(int(part))
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)
