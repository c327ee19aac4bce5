"""Address groups: the rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import NAME, metadata
from kumoi.engine.db import Json


@dataclass(frozen=True, slots=True)
class AddressGroup:
    """`addresses` are networks of either IP version, without host bits."""

    id: str
    project_id: str
    name: str
    description: str
    addresses: list[str]
    created_at: datetime
    updated_at: datetime
    revision_number: int


address_group = sa.Table(
    "address_group",
    metadata,
    *standard.columns(),
    sa.Column("name", NAME, nullable=False),
    sa.Column("addresses", Json, nullable=False),
)


def insert(connection: Connection, row: AddressGroup) -> None:
    standard.insert(connection, address_group, schema.values(row))


def get(connection: Connection, key: str) -> AddressGroup | None:
    return standard.get(connection, address_group, AddressGroup, key)


def page(
    connection: Connection, query: NetworkQuery, *, project_id: str | None
) -> list[AddressGroup]:
    own = [] if project_id is None else [address_group.c.project_id == project_id]
    return standard.page(connection, address_group, AddressGroup, query, *own)


def every(connection: Connection) -> list[AddressGroup]:
    return schema.fetch(connection, sa.select(address_group), AddressGroup)


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, address_group, key, now=now, values=values)


def delete(connection: Connection, key: str) -> None:
    standard.delete(connection, address_group, key)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, address_group, project_id)
