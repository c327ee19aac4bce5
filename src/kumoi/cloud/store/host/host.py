"""Hosts: the rows. What a host has it says itself; what is claimed of it, from servers.

The claimed sums stand in the row, and what is free is indexed, so that choosing a host costs the
same among ten as among a thousand.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine import feed
from kumoi.engine.db import Json, Timestamp

UP = "up"
DOWN = "down"


def topic(host_id: str) -> str:
    """The feed topic of what a host must look at again; its keys are `kind/id`."""
    return f"host:{host_id}"


def touch_thing(connection: Connection, host_id: str, kind: str, thing_id: str) -> None:
    """The host looks again at this thing."""
    feed.touch(connection, topic(host_id), f"{kind}/{thing_id}")


def forget_thing(connection: Connection, host_id: str, kind: str, thing_id: str) -> None:
    """The host has seen that it is gone."""
    feed.forget(connection, topic(host_id), f"{kind}/{thing_id}")


EVERY_HOST = topic("*")
"""What all of them must look at again: images worth having ready."""


@dataclass(frozen=True, slots=True)
class Host:
    """`id` is the name in its certificate; `version` is its release. `*_free` is capacity less claims,
    where capacity is what it says of itself times what may be promised of it; below zero when the
    host has shrunk. `offers` holds, by driver, what hostapi.offer.Offer has.
    """

    id: str
    uuid: str
    number: int
    state: str
    enabled: bool
    disabled_reason: str
    forced_down: bool
    version: str
    hostname: str
    drivers: list[str]
    vcpus: int
    ram_mib: int
    disk_gib: int
    vcpus_claimed: int
    ram_claimed_mib: int
    disk_claimed_gib: int
    servers_claimed: int
    vcpus_free: int
    ram_free_mib: int
    disk_free_gib: int
    ready_images: list[str]
    created_at: datetime
    updated_at: datetime
    seen_at: datetime
    address: str = ""
    protocol: int = 0
    offers: dict[str, Any] = field(default_factory=dict)


host = sa.Table(
    "host",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("uuid", ID, nullable=False, unique=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("disabled_reason", NAME, nullable=False),
    sa.Column("forced_down", sa.Boolean, nullable=False),
    sa.Column("version", NAME, nullable=False),
    sa.Column("hostname", NAME, nullable=False),
    sa.Column("drivers", Json, nullable=False),
    sa.Column("vcpus", sa.Integer, nullable=False),
    sa.Column("ram_mib", sa.Integer, nullable=False),
    sa.Column("disk_gib", sa.Integer, nullable=False),
    sa.Column("vcpus_claimed", sa.Integer, nullable=False),
    sa.Column("ram_claimed_mib", sa.Integer, nullable=False),
    sa.Column("disk_claimed_gib", sa.Integer, nullable=False),
    sa.Column("servers_claimed", sa.Integer, nullable=False),
    sa.Column("vcpus_free", sa.Integer, nullable=False),
    sa.Column("ram_free_mib", sa.Integer, nullable=False, index=True),
    sa.Column("disk_free_gib", sa.Integer, nullable=False),
    sa.Column("ready_images", Json, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.Column("seen_at", Timestamp, nullable=False),
    sa.Column("address", sa.String(64), nullable=False, server_default=""),
    sa.Column("protocol", sa.Integer, nullable=False, server_default="0"),
    sa.Column("offers", Json, nullable=False, server_default="{}"),
)


def insert(connection: Connection, row: Host) -> None:
    schema.insert(connection, host, schema.values(row))


def get(connection: Connection, key: str) -> Host | None:
    return schema.fetch_one(connection, sa.select(host).where(host.c.id == key), Host)


def every(connection: Connection) -> list[Host]:
    """All there are, in the order they came."""
    return schema.fetch(connection, sa.select(host).order_by(host.c.number), Host)


def roomiest(
    connection: Connection,
    *,
    vcpus: int,
    ram_mib: int,
    disk_gib: int,
    excluded: Collection[str],
    allowed: Collection[str] | None,
    most: int,
) -> list[Host]:
    """Up to `most` hosts that are up, enabled and have room, those with most free memory first."""
    query = sa.select(host).where(
        host.c.ram_free_mib >= ram_mib,
        host.c.state == UP,
        host.c.forced_down.is_(False),
        host.c.enabled,
        host.c.vcpus_free >= vcpus,
        host.c.disk_free_gib >= disk_gib,
    )
    if excluded:
        query = query.where(host.c.id.not_in(list(excluded)))
    if allowed is not None:
        query = query.where(host.c.id.in_(list(allowed)))
    query = query.order_by(host.c.ram_free_mib.desc(), host.c.id).limit(most)
    return schema.fetch(connection, query, Host)


def claim(
    connection: Connection, key: str, *, vcpus: int, ram_mib: int, disk_gib: int, servers: int
) -> None:
    """Take from what is free; negative numbers give back."""
    connection.execute(
        sa.update(host)
        .where(host.c.id == key)
        .values(
            vcpus_claimed=host.c.vcpus_claimed + vcpus,
            ram_claimed_mib=host.c.ram_claimed_mib + ram_mib,
            disk_claimed_gib=host.c.disk_claimed_gib + disk_gib,
            servers_claimed=host.c.servers_claimed + servers,
            vcpus_free=host.c.vcpus_free - vcpus,
            ram_free_mib=host.c.ram_free_mib - ram_mib,
            disk_free_gib=host.c.disk_free_gib - disk_gib,
        )
    )


def update(connection: Connection, key: str, **values: Any) -> bool:
    """Whether there was one."""
    return schema.update(connection, host, key, values)


def states(connection: Connection) -> dict[str, str]:
    """By id, in the words that servers show of their host."""
    query = sa.select(host.c.id, host.c.state, host.c.enabled, host.c.forced_down)
    return {row.id: _shown_state(row) for row in connection.execute(query)}


def next_number(connection: Connection) -> int:
    most = connection.execute(sa.select(sa.func.max(host.c.number))).scalar_one_or_none()
    return (most or 0) + 1


def fell_silent(connection: Connection, *, before: datetime) -> list[str]:
    """Ids of the hosts that count as up and were last heard of before that time."""
    query = sa.select(host.c.id).where(host.c.state == UP, host.c.seen_at < before)
    return list(connection.execute(query).scalars())


def _shown_state(row: Any) -> str:
    if row.forced_down or row.state != UP:
        return "DOWN"
    return "UP" if row.enabled else "MAINTENANCE"
