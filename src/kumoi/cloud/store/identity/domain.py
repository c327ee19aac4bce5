"""Domains: the rows. A domain holds users, groups and projects, and their names."""

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
class Domain:
    id: str
    name: str
    description: str
    enabled: bool
    options: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None


domain = sa.Table(
    "domain",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False, unique=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("options", Json),
    sa.Column("extra", Json),
)


def insert(connection: Connection, row: Domain) -> None:
    schema.insert(connection, domain, schema.values(row))


def get(connection: Connection, key: str) -> Domain | None:
    return schema.fetch_one(connection, sa.select(domain).where(domain.c.id == key), Domain)


def named(connection: Connection, name: str) -> Domain | None:
    """Without regard to case, as in Keystone on MySQL: clients name it `default`. SQLite knows the case
    of ASCII's letters alone.
    """
    same = (domain.c.name == name) | (sa.func.lower(domain.c.name) == name.lower())
    query = sa.select(domain).where(same)
    return schema.fetch_one(connection, query.order_by(domain.c.name != name).limit(1), Domain)


def page(connection: Connection, wanted: Listing) -> list[Domain]:
    return listing.page(connection, domain, Domain, wanted)


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, domain, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, domain, key)
