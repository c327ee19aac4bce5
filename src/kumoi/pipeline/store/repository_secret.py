"""Secrets of repositories: what a project gives its steps and does not commit. The store opens to the pipeline
alone (0600), as it does for delegations; no API shows a value again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.secret import Secret
from kumoi.engine.schema import Timestamp
from kumoi.pipeline.store.schema import NAME, metadata

repository_secret = sa.Table(
    "repository_secret",
    metadata,
    sa.Column("repository_id", sa.ForeignKey("repository.id"), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("set_at", Timestamp, nullable=False),
    sa.Column("user_name", NAME, nullable=False),
)


@dataclass(frozen=True, slots=True)
class RepositorySecret:
    """`user_name` is who set it."""

    repository_id: str
    name: str
    value: Secret
    set_at: datetime
    user_name: str


def put(connection: Connection, new: RepositorySecret) -> None:
    """In place of one that has the name."""
    row = {item.name: getattr(new, item.name) for item in fields(RepositorySecret)}
    row["value"] = new.value.reveal()
    delete(connection, new.repository_id, new.name)
    connection.execute(sa.insert(repository_secret).values(**row))


def delete(connection: Connection, repository_id: str, name: str) -> bool:
    """Whether it was there."""
    mine = repository_secret.c.repository_id == repository_id
    statement = sa.delete(repository_secret).where(mine, repository_secret.c.name == name)
    return connection.execute(statement).rowcount == 1


def list_of_repository(connection: Connection, repository_id: str) -> list[RepositorySecret]:
    """By name."""
    mine = repository_secret.c.repository_id == repository_id
    query = sa.select(repository_secret).where(mine).order_by(repository_secret.c.name)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    return [RepositorySecret(**{**row, "value": Secret(row["value"])}) for row in rows]


def values(connection: Connection, repository_id: str, names: Iterable[str]) -> dict[str, Secret]:
    """Of those that are there."""
    wanted = set(names)
    found = list_of_repository(connection, repository_id)
    return {each.name: each.value for each in found if each.name in wanted}
