"""Regions of the catalogue: the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import NAME, metadata
from kumoi.engine.db import Json


@dataclass(frozen=True, slots=True)
class Region:
    id: str
    description: str
    parent_region_id: str | None
    extra: dict[str, Any] | None = None


region = sa.Table(
    "region",
    metadata,
    sa.Column("id", NAME, primary_key=True),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("parent_region_id", NAME, index=True),
    sa.Column("extra", Json),
)


def insert(connection: Connection, row: Region) -> None:
    schema.insert(connection, region, schema.values(row))


def get(connection: Connection, key: str) -> Region | None:
    return schema.fetch_one(connection, sa.select(region).where(region.c.id == key), Region)


def page(connection: Connection, wanted: Listing) -> list[Region]:
    return listing.page(connection, region, Region, wanted)


def has_children(connection: Connection, key: str) -> bool:
    query = sa.select(region.c.id).where(region.c.parent_region_id == key).limit(1)
    return connection.execute(query).first() is not None


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, region, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, region, key)
