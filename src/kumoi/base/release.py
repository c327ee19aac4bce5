"""Compares the names of releases, such as "1.2.0"."""

from __future__ import annotations


def version_of(release_id: str) -> str:
    """Of the id of an installed release, such as "1.2.0-3f9c"."""
    return release_id.partition("-")[0]


def numbers(release: str) -> tuple[int, ...]:
    """A release as numbers, which compare: "1.2.0", "1.2" and "1.2.0.dev3" are all (1, 2)."""
    found: list[int] = []
    for part in release.split("."):
        if not part.isdecimal():
            break
        found.append(int(part))
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)
