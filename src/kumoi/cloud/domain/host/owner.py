"""Whose the things are that a host's switch has. A host learns the project of an id that it knows, and nothing else."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy.engine import Connection

from kumoi.cloud.store.host import owner as store


def of(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """By their ids; without those that there are not."""
    return store.projects(connection, ids)
