"""The catalogue's services: the rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.identity.endpoint import endpoint
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, Nouns, metadata
from kumoi.engine.db import Json
from kumoi.engine.memo import BoundedMap


@dataclass(frozen=True, slots=True)
class CatalogService:
    id: str
    type: str
    name: str
    description: str | None
    enabled: bool
    extra: dict[str, Any] | None = None


service = sa.Table(
    "service",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("type", NAME, nullable=False, index=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("extra", Json),
)


_ENABLED = Nouns(
    sa.select(service).where(service.c.enabled).order_by(service.c.type, service.c.id),
    CatalogService,
    BoundedMap(),
)


def insert(connection: Connection, row: CatalogService) -> None:
    schema.insert(connection, service, schema.values(row))


def get(connection: Connection, key: str) -> CatalogService | None:
    return schema.fetch_one(
        connection, sa.select(service).where(service.c.id == key), CatalogService
    )


def of_type(connection: Connection, type_: str) -> list[CatalogService]:
    query = sa.select(service).where(service.c.type == type_).order_by(service.c.id)
    return schema.fetch(connection, query, CatalogService)


def enabled(connection: Connection) -> list[CatalogService]:
    """The services that the catalogue shows, ordered by type."""
    return _ENABLED.all(connection)


def page(connection: Connection, wanted: Listing, off: Collection[str]) -> list[CatalogService]:
    """Without those all of whose endpoints have a URL of `off`."""
    if not off:
        return listing.page(connection, service, CatalogService, wanted)
    places = sa.select(endpoint.c.id).where(endpoint.c.service_id == service.c.id)
    answered = places.where(endpoint.c.url.not_in(off)).exists()
    is_there = sa.or_(answered, ~places.exists())
    return listing.page(connection, service, CatalogService, wanted, is_there)


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, service, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, service, key)
