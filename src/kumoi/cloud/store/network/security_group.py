"""Security groups: the rows. A project has one named "default", made at first use."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import NAME, NounsAmong, metadata


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    id: str
    project_id: str
    name: str
    description: str
    stateful: bool
    is_default: bool
    created_at: datetime
    updated_at: datetime
    revision_number: int


security_group = sa.Table(
    "security_group",
    metadata,
    *standard.columns(),
    sa.Column("name", NAME, nullable=False),
    sa.Column("stateful", sa.Boolean, nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
)
sa.Index(
    "uq_security_group_default",
    security_group.c.project_id,
    unique=True,
    sqlite_where=security_group.c.is_default,
    postgresql_where=security_group.c.is_default,
)


def insert(connection: Connection, row: SecurityGroup) -> None:
    standard.insert(connection, security_group, schema.values(row))


def get(connection: Connection, key: str) -> SecurityGroup | None:
    return standard.get(connection, security_group, SecurityGroup, key)


def find(connection: Connection, **values: Any) -> list[SecurityGroup]:
    return standard.find(connection, security_group, SecurityGroup, **values)


def many(connection: Connection, keys: Collection[str]) -> dict[str, SecurityGroup]:
    return {row.id: row for row in _AMONG.all(connection, keys)}


_AMONG = NounsAmong(sa.select(security_group), security_group.c.id, SecurityGroup)


def page(
    connection: Connection, query: NetworkQuery, *, project_id: str | None
) -> list[SecurityGroup]:
    own = [] if project_id is None else [security_group.c.project_id == project_id]
    return standard.page(connection, security_group, SecurityGroup, query, *own)


def every(connection: Connection) -> list[SecurityGroup]:
    return schema.fetch(connection, sa.select(security_group), SecurityGroup)


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, security_group, key, now=now, values=values)


def delete(connection: Connection, key: str) -> None:
    """Delete a group and its rules."""
    standard.delete(connection, security_group, key)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, security_group, project_id)
