"""Load balancers: the rows. A port keeps the virtual address."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.errors import Bug
from kumoi.cloud.store import schema
from kumoi.cloud.store.load_balancer import station
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine import feed
from kumoi.engine.statement import Statement

TOPIC = (
    "balancing"  # Balancers whose members are others, or get more or less, by the balancer's id.
)


@dataclass(frozen=True, slots=True)
class LoadBalancer:
    """`revision_number` grows with each change of any of its parts; `applied_revision` is the one
    that the network engine has, and is the worker's to write. `owns_vip_port` is false for a port of
    the user's own, which stays when the balancer goes. `stations_max` is on how many hosts it may have
    a place at most, where a flavor says so.
    """

    id: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    vip_address: str
    vip_network_id: str
    vip_subnet_id: str
    vip_port_id: str
    owns_vip_port: bool
    applied_revision: int
    created_at: datetime
    updated_at: datetime
    revision_number: int
    flavor_id: str | None = None
    availability_zone: str | None = None
    stations_max: int | None = None


load_balancer = sa.Table(
    "load_balancer",
    metadata,
    *standard.columns(),
    sa.Column("name", NAME, nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
    sa.Column("vip_address", sa.String(45), nullable=False),
    sa.Column("vip_network_id", ID, sa.ForeignKey("network.id"), nullable=False),
    sa.Column("vip_subnet_id", ID, sa.ForeignKey("subnet.id"), nullable=False),
    sa.Column("vip_port_id", ID, sa.ForeignKey("port.id"), nullable=False, unique=True),
    sa.Column("owns_vip_port", sa.Boolean, nullable=False),
    sa.Column("applied_revision", sa.Integer, nullable=False),
    sa.Column("flavor_id", ID),
    sa.Column("availability_zone", NAME),
    sa.Column("stations_max", sa.Integer),
)


def insert(connection: Connection, row: LoadBalancer) -> None:
    standard.insert(connection, load_balancer, asdict(row))


def get(connection: Connection, key: str) -> LoadBalancer | None:
    return standard.get(connection, load_balancer, LoadBalancer, key)


def page(
    connection: Connection, query: NetworkQuery, *, project_id: str | None
) -> list[LoadBalancer]:
    mine = [] if project_id is None else [load_balancer.c.project_id == project_id]
    return standard.page(connection, load_balancer, LoadBalancer, query, *mine)


def many(connection: Connection, keys: Collection[str]) -> list[LoadBalancer]:
    return schema.fetch_among(
        connection, sa.select(load_balancer), load_balancer.c.id, keys, LoadBalancer
    )


def every(connection: Connection) -> list[LoadBalancer]:
    return schema.fetch(connection, sa.select(load_balancer), LoadBalancer)


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, load_balancer, key, now=now, values=values)
    station.tell_hosts(connection, key)


def advance(connection: Connection, key: str, *, now: datetime) -> int:
    """One of its parts changes: the revision that has the change."""
    update(connection, key, now=now)
    return _revision(connection, key)


def rebalance(connection: Connection, key: str, *, now: datetime) -> int:
    """As `advance`, for a change of who gets its connections and of nothing else."""
    schema.update(connection, load_balancer, key, {"updated_at": now}, counted="revision_number")
    feed.touch(connection, TOPIC, key)
    station.tell_hosts(connection, key)
    return _revision(connection, key)


def note_health(connection: Connection, key: str) -> None:
    """Members of it are in another state than before: who gets its connections changes, and nothing
    that was wanted.
    """
    feed.touch(connection, TOPIC, key)


def note_resting(connection: Connection, key: str) -> None:
    """As `note_health`, and its proxies' hosts hear of it too."""
    feed.touch(connection, TOPIC, key)
    station.tell_hosts(connection, key)


def applied(connection: Connection) -> dict[str, int]:
    """The revision that the network engine is said to have, of each."""
    query = sa.select(load_balancer.c.id, load_balancer.c.applied_revision)
    return {row.id: row.applied_revision for row in connection.execute(query)}


def set_applied(connection: Connection, revisions: Mapping[str, int]) -> None:
    """What is, not what is wanted: neither revision nor feed changes."""
    for key, revision in revisions.items():
        connection.execute(
            sa.update(load_balancer)
            .where(load_balancer.c.id == key)
            .values(applied_revision=revision)
        )


def delete(connection: Connection, key: str) -> None:
    for row in station.of_balancers(connection, [key]):
        station.delete(connection, row)
    standard.delete(connection, load_balancer, key)
    feed.forget(connection, TOPIC, key)


def has_any(connection: Connection, **values: Any) -> bool:
    """Whether there is one whose columns have these values."""
    return bool(standard.find(connection, load_balancer, LoadBalancer, **values))


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, load_balancer, project_id)


def _revision(connection: Connection, key: str) -> int:
    row = _REVISION.row(connection, key=key)
    if row is None:
        raise Bug(f"load balancer {key}, which was just changed, is not there")
    return int(row[0])


_REVISION = Statement(
    sa.select(load_balancer.c.revision_number).where(load_balancer.c.id == sa.bindparam("key"))
)
