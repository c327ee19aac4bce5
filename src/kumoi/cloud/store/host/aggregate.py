"""Host aggregates: the rows. There are few of them, so each names its hosts itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json, Timestamp
from kumoi.engine.memo import BoundedMap


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`zone` is the availability zone that its hosts are in; None leaves that to other aggregates.
    `hosts` are ids, `properties` what the API calls its metadata, without the zone.
    """

    id: str
    number: int
    name: str
    zone: str | None
    hosts: list[str]
    properties: dict[str, str]
    created_at: datetime
    updated_at: datetime | None


aggregate = sa.Table(
    "host_aggregate",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("name", NAME, nullable=False, unique=True),
    sa.Column("zone", NAME),
    sa.Column("hosts", Json, nullable=False),
    sa.Column("properties", Json, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp),
)


def insert(connection: Connection, row: Aggregate) -> None:
    schema.insert(connection, aggregate, schema.values(row))


def every(connection: Connection) -> list[Aggregate]:
    """In the order in which they were made."""
    return _EVERY.all(connection)


_EVERY = schema.Nouns(sa.select(aggregate).order_by(aggregate.c.number), Aggregate, BoundedMap())


def get(connection: Connection, number: int) -> Aggregate | None:
    query = sa.select(aggregate).where(aggregate.c.number == number)
    return schema.fetch_one(connection, query, Aggregate)


def by_name(connection: Connection, name: str) -> Aggregate | None:
    query = sa.select(aggregate).where(aggregate.c.name == name)
    return schema.fetch_one(connection, query, Aggregate)


def next_number(connection: Connection) -> int:
    most = connection.execute(sa.select(sa.func.max(aggregate.c.number))).scalar_one_or_none()
    return (most or 0) + 1


def update(connection: Connection, key: str, **values: Any) -> None:
    schema.update(connection, aggregate, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, aggregate, key)
