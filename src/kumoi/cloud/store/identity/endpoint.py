"""The catalogue's endpoints: the rows. A `url` that begins with / is below the APIs' own address."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, Nouns, metadata
from kumoi.engine.db import Json
from kumoi.engine.memo import BoundedMap


@dataclass(frozen=True, slots=True)
class Endpoint:
    id: str
    service_id: str
    region: str | None
    interface: str
    url: str
    enabled: bool
    extra: dict[str, Any] | None = None


endpoint = sa.Table(
    "endpoint",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("service_id", ID, sa.ForeignKey("service.id"), nullable=False, index=True),
    sa.Column("region", NAME),
    sa.Column("interface", sa.String(8), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("extra", Json),
)


_ENABLED = Nouns(
    sa.select(endpoint)
    .where(endpoint.c.enabled)
    .order_by(endpoint.c.region, endpoint.c.interface.desc(), endpoint.c.id),
    Endpoint,
    BoundedMap(),
)


def insert(connection: Connection, row: Endpoint) -> None:
    schema.insert(connection, endpoint, schema.values(row))


def enabled(connection: Connection) -> list[Endpoint]:
    """The endpoints that the catalogue shows."""
    return _ENABLED.all(connection)


def page(connection: Connection, wanted: Listing, off: Collection[str]) -> list[Endpoint]:
    """Those whose URL is none of `off`."""
    conditions = [endpoint.c.url.not_in(off)] if off else []
    return listing.page(connection, endpoint, Endpoint, wanted, *conditions)


def is_in(connection: Connection, region: str) -> bool:
    """Whether any endpoint is in that region."""
    query = sa.select(endpoint.c.id).where(endpoint.c.region == region).limit(1)
    return connection.execute(query).first() is not None


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, endpoint, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, endpoint, key)


def delete_of_service(connection: Connection, service_id: str) -> None:
    connection.execute(sa.delete(endpoint).where(endpoint.c.service_id == service_id))
