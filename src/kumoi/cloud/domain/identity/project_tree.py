"""What is above and what is below a project. A project's topmost parent is its domain."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from kumoi.cloud.store.identity import project as store

DEPTH_MAX = 64  # Nobody nests deeper; a circle, which no request can make, would end here.


def above(connection: Connection, key: str) -> list[str]:
    """The ids of the projects and the domain above a project, nearest first."""
    found: list[str] = []
    row = store.get(connection, key)
    while row is not None and len(found) < DEPTH_MAX:
        found.append(row.parent_id)
        row = store.get(connection, row.parent_id)
    return found


def below(connection: Connection, key: str) -> list[str]:
    """The ids of all projects below a project or a domain."""
    found: list[str] = []
    level = [key]
    for _ in range(DEPTH_MAX):
        level = store.children_of(connection, level)
        if not level:
            break
        found += level
    return found
