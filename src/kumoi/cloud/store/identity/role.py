"""Roles: the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata


@dataclass(frozen=True, slots=True)
class Role:
    id: str
    name: str
    description: str | None


role = sa.Table(
    "role",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False, unique=True),
    sa.Column("description", sa.Text),
)


def insert(connection: Connection, row: Role) -> None:
    schema.insert(connection, role, asdict(row))


def get(connection: Connection, key: str) -> Role | None:
    return schema.fetch_one(connection, sa.select(role).where(role.c.id == key), Role)


def named(connection: Connection, name: str) -> Role | None:
    return schema.fetch_one(connection, sa.select(role).where(role.c.name == name), Role)


def every(connection: Connection) -> list[Role]:
    return schema.fetch(connection, sa.select(role).order_by(role.c.name), Role)


def page(connection: Connection, wanted: Listing) -> list[Role]:
    return listing.page(connection, role, Role, wanted)


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, role, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, role, key)
