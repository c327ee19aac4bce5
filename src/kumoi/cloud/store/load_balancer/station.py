"""Stations: the rows. A station is a place of a balancer on a host, from where its members are probed
and where its proxy runs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Json, Timestamp
from kumoi.engine.statement import Statement

KIND = "load_balancer"
"""The kind of thing that a host is told of."""


@dataclass(frozen=True, slots=True)
class Station:
    """`slot` tells a balancer's stations apart in its network, from 0. `observed_generation` is the
    balancer's revision that the host reported last, 0 before it did, `fault` why it could not be
    made, and `counters` what its proxies counted, by the listener's id; all are written by reports alone.
    """

    id: str
    load_balancer_id: str
    host_id: str
    slot: int
    observed_generation: int
    fault: str
    created_at: datetime
    counters: dict[str, dict[str, int]] = field(default_factory=dict)


station = sa.Table(
    "load_balancer_station",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column(
        "load_balancer_id", ID, sa.ForeignKey("load_balancer.id"), nullable=False, index=True
    ),
    sa.Column("host_id", ID, nullable=False, index=True),
    sa.Column("slot", sa.Integer, nullable=False),
    sa.Column("observed_generation", sa.Integer, nullable=False),
    sa.Column("fault", sa.Text, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("counters", Json, nullable=False, server_default="{}"),
    sa.UniqueConstraint("load_balancer_id", "host_id"),
    sa.UniqueConstraint("load_balancer_id", "slot"),
)


def insert(connection: Connection, row: Station) -> None:
    schema.insert(connection, station, asdict(row))
    host_store.touch_thing(connection, row.host_id, KIND, row.load_balancer_id)


def every(connection: Connection) -> list[Station]:
    return schema.fetch(connection, sa.select(station).order_by(station.c.slot), Station)


def of_balancers(connection: Connection, balancer_ids: Collection[str]) -> list[Station]:
    query = sa.select(station).order_by(station.c.slot)
    return schema.fetch_among(connection, query, station.c.load_balancer_id, balancer_ids, Station)


def on_host(connection: Connection, host_id: str) -> list[Station]:
    return schema.find(connection, station, Station, host_id=host_id)


def find(connection: Connection, balancer_id: str, host_id: str) -> Station | None:
    found = schema.find(connection, station, Station, load_balancer_id=balancer_id, host_id=host_id)
    return found[0] if found else None


def observe(connection: Connection, row: Station, **values: Any) -> None:
    """What a report says."""
    schema.update(connection, station, row.id, values)


def delete(connection: Connection, row: Station) -> None:
    schema.delete(connection, station, row.id)
    host_store.touch_thing(connection, row.host_id, KIND, row.load_balancer_id)


def tell_hosts(connection: Connection, balancer_id: str) -> None:
    """Have the balancer's hosts look at it again."""
    for (host_id,) in _HOSTS.rows(connection, key=balancer_id):
        host_store.touch_thing(connection, host_id, KIND, balancer_id)


_HOSTS = Statement(
    sa.select(station.c.host_id)
    .where(station.c.load_balancer_id == sa.bindparam("key"))
    .order_by(station.c.slot)
)
