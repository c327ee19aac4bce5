"""Roles: the rows. A name is taken once, also by a role of a single domain: policies decide by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json


@dataclass(frozen=True, slots=True)
class IdentityRole:
    id: str
    name: str
    description: str | None
    domain_id: str | None = None
    options: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None


role = sa.Table(
    "role",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False, unique=True),
    sa.Column("description", sa.Text),
    sa.Column("domain_id", ID),
    sa.Column("options", Json),
    sa.Column("extra", Json),
)


def insert(connection: Connection, row: IdentityRole) -> None:
    schema.insert(connection, role, schema.values(row))


def get(connection: Connection, key: str) -> IdentityRole | None:
    return schema.fetch_one(connection, sa.select(role).where(role.c.id == key), IdentityRole)


def named(connection: Connection, name: str) -> IdentityRole | None:
    return schema.fetch_one(connection, sa.select(role).where(role.c.name == name), IdentityRole)


def every(connection: Connection) -> list[IdentityRole]:
    return schema.fetch(connection, sa.select(role).order_by(role.c.name), IdentityRole)


def page(connection: Connection, wanted: Listing, *, domain_id: str | None) -> list[IdentityRole]:
    """One page of the roles of a domain; without one, of those that are of none."""
    return listing.page(connection, role, IdentityRole, wanted, role.c.domain_id == domain_id)


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, role, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, role, key)
