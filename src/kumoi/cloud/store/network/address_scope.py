"""Address scopes: the rows."""

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
from kumoi.cloud.store.schema import NAME, metadata


@dataclass(frozen=True, slots=True)
class AddressScope:
    id: str
    project_id: str
    name: str
    description: str
    ip_version: int
    shared: bool
    created_at: datetime
    updated_at: datetime
    revision_number: int


address_scope = sa.Table(
    "address_scope",
    metadata,
    *standard.columns(),
    sa.Column("name", NAME, nullable=False),
    sa.Column("ip_version", sa.Integer, nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False),
)


def insert(connection: Connection, row: AddressScope) -> None:
    standard.insert(connection, address_scope, schema.values(row))


def get(connection: Connection, key: str) -> AddressScope | None:
    return standard.get(connection, address_scope, AddressScope, key)


def many(connection: Connection, keys: Collection[str]) -> dict[str, AddressScope]:
    rows = schema.fetch_among(
        connection, sa.select(address_scope), address_scope.c.id, keys, AddressScope
    )
    return {row.id: row for row in rows}


def page(
    connection: Connection, query: NetworkQuery, *, project_id: str | None
) -> list[AddressScope]:
    """One page; with `project_id`, of that project's scopes and the shared ones."""
    conditions: list[sa.ColumnElement[bool]] = []
    if project_id is not None:
        conditions.append((address_scope.c.project_id == project_id) | address_scope.c.shared)
    return standard.page(connection, address_scope, AddressScope, query, *conditions)


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, address_scope, key, now=now, values=values)


def delete(connection: Connection, key: str) -> None:
    standard.delete(connection, address_scope, key)
