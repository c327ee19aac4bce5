"""Hosts: the rows. A host reports what it has; the servers placed on it claim of that.

The sums of the claims are columns, and what is free is indexed, so that choosing a host costs the
same among ten as among a thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine import feed
from kumoi.engine.db import Json, Timestamp
from kumoi.engine.statement import Statement

UP = "up"
DOWN = "down"


def topic(host_id: str) -> str:
    """The feed topic of the things that a host must look at again; its keys are `kind/id`."""
    return f"host:{host_id}"


def touch_thing(connection: Connection, host_id: str, kind: str, thing_id: str) -> None:
    """Have the host look at this thing again."""
    feed.touch(connection, topic(host_id), f"{kind}/{thing_id}")


def touch_things(connection: Connection, host_id: str, kind: str, thing_ids: Iterable[str]) -> None:
    """Have the host look at these things again."""
    feed.touch_all(connection, topic(host_id), [f"{kind}/{thing_id}" for thing_id in thing_ids])


def forget_thing(connection: Connection, host_id: str, kind: str, thing_id: str) -> None:
    """The host has removed the thing, and need not look at it again."""
    feed.forget(connection, topic(host_id), f"{kind}/{thing_id}")


def awaits_thing(connection: Connection, host_id: str, kind: str, thing_id: str) -> bool:
    """Whether the host has the thing, or was not heard to have removed it."""
    return feed.knows(connection, topic(host_id), f"{kind}/{thing_id}")


EVERY_HOST = topic("*")
"""The topic of what all hosts must look at again: the images to prefetch."""


@dataclass(frozen=True, slots=True)
class Host:
    """`id` is the name in the host's certificate; `version` is its release. `*_free` is what the host
    has, as `allocation` lets servers claim it, less the claims: below zero when the host has shrunk. `offers` holds,
    by driver, what hostapi.offer.Offer has; `allocation` what hostapi.hello.Allocation has, {} before
    the host has said it.
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
    allocation: dict[str, Any] = field(default_factory=dict)
    booted_at: datetime | None = None
    leads_outside: bool = True

    @property
    def is_up(self) -> bool:
        """Whether the host is heard of, and no administrator says otherwise."""
        return self.state == UP and not self.forced_down


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
    sa.Column("allocation", Json, nullable=False, server_default="{}"),
    sa.Column("leads_outside", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("booted_at", Timestamp),  # Null where an agent of an older release does not tell it.
)


def insert(connection: Connection, row: Host) -> None:
    schema.insert(connection, host, schema.values(row))


def get(connection: Connection, key: str) -> Host | None:
    return schema.get(connection, host, Host, key)


def every(connection: Connection) -> list[Host]:
    """All hosts, in the order of their registration."""
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
    """At most `most` hosts that are up, enabled and have room, those with most free memory first."""
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
    """Add to the claims on a host, and take that from what is free; negative numbers release."""
    more = {"vcpus": vcpus, "ram_mib": ram_mib, "disk_gib": disk_gib, "servers": servers}
    _CLAIM.run(connection, {"host": key, **more})


_CLAIM = Statement(
    sa.update(host)
    .where(host.c.id == sa.bindparam("host"))
    .values(
        vcpus_claimed=host.c.vcpus_claimed + sa.bindparam("vcpus"),
        ram_claimed_mib=host.c.ram_claimed_mib + sa.bindparam("ram_mib"),
        disk_claimed_gib=host.c.disk_claimed_gib + sa.bindparam("disk_gib"),
        servers_claimed=host.c.servers_claimed + sa.bindparam("servers"),
        vcpus_free=host.c.vcpus_free - sa.bindparam("vcpus"),
        ram_free_mib=host.c.ram_free_mib - sa.bindparam("ram_mib"),
        disk_free_gib=host.c.disk_free_gib - sa.bindparam("disk_gib"),
    )
)


def update(connection: Connection, key: str, **values: Any) -> bool:
    """False when there is no such host."""
    return schema.update(connection, host, key, values)


def delete(connection: Connection, key: str) -> None:
    connection.execute(sa.delete(host).where(host.c.id == key))


def states(connection: Connection) -> dict[str, str]:
    """By host, in Nova's words: UP, DOWN, or MAINTENANCE for one that is disabled."""
    query = sa.select(host.c.id, host.c.state, host.c.enabled, host.c.forced_down)
    found: dict[str, str] = {}
    for row in connection.execute(query):
        is_up = row.state == UP and not row.forced_down
        found[row.id] = ("UP" if row.enabled else "MAINTENANCE") if is_up else "DOWN"
    return found


def next_number(connection: Connection) -> int:
    most = connection.execute(sa.select(sa.func.max(host.c.number))).scalar_one_or_none()
    return (most or 0) + 1


def fell_silent(connection: Connection, *, before: datetime) -> list[str]:
    """The ids of the hosts that count as up and were last heard of before that time."""
    query = sa.select(host.c.id).where(host.c.state == UP, host.c.seen_at < before)
    return list(connection.execute(query).scalars())
