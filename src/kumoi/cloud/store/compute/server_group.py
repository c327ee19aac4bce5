"""Server groups: the rows. The rows of servers name the group that they are in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json, Timestamp


@dataclass(frozen=True, slots=True)
class ServerGroup:
    id: str
    project_id: str
    user_id: str
    name: str
    policy: str
    rules: dict[str, Any]
    created_at: datetime


server_group = sa.Table(
    "server_group",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", ID, nullable=False, index=True),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("name", NAME, nullable=False),
    sa.Column("policy", sa.String(32), nullable=False),
    sa.Column("rules", Json, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
)


def insert(connection: Connection, row: ServerGroup) -> None:
    schema.insert(connection, server_group, schema.values(row))


def get(connection: Connection, key: str) -> ServerGroup | None:
    query = sa.select(server_group).where(server_group.c.id == key)
    return schema.fetch_one(connection, query, ServerGroup)


def page(
    connection: Connection, *, project_id: str | None, limit: int, offset: int
) -> list[ServerGroup]:
    """Oldest first; of all projects for a `project_id` of None."""
    query = sa.select(server_group).order_by(server_group.c.created_at, server_group.c.id)
    if project_id is not None:
        query = query.where(server_group.c.project_id == project_id)
    return schema.fetch(connection, query.limit(limit).offset(offset), ServerGroup)


def count(connection: Connection, project_id: str) -> int:
    query = sa.select(sa.func.count()).where(server_group.c.project_id == project_id)
    return int(connection.execute(query).scalar_one())


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, server_group, key)
