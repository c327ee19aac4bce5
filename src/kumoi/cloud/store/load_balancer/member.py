"""Members: the rows. A member is an address and port that a pool gives connections to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.load_balancer import part
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, metadata


@dataclass(frozen=True, slots=True)
class PoolMember:
    """`health` is what hosts say of it, or None; nobody else writes it. `subnet_id` of None is the
    subnet of the virtual address.
    """

    id: str
    project_id: str
    load_balancer_id: str
    name: str
    description: str
    admin_state_up: bool
    pool_id: str
    address: str
    protocol_port: int
    weight: int
    backup: bool
    subnet_id: str | None
    monitor_address: str | None
    monitor_port: int | None
    health: str | None
    made_revision: int
    changed_revision: int
    created_at: datetime
    updated_at: datetime
    revision_number: int


member = sa.Table(
    "load_balancer_member",
    metadata,
    *part.columns(),
    sa.Column("pool_id", ID, sa.ForeignKey("load_balancer_pool.id"), nullable=False),
    sa.Column("address", sa.String(45), nullable=False),
    sa.Column("protocol_port", sa.Integer, nullable=False),
    sa.Column("weight", sa.Integer, nullable=False),
    sa.Column("backup", sa.Boolean, nullable=False),
    sa.Column("subnet_id", ID),
    sa.Column("monitor_address", sa.String(45)),
    sa.Column("monitor_port", sa.Integer),
    sa.Column("health", sa.String(16)),
    sa.UniqueConstraint("pool_id", "address", "protocol_port"),
)


def insert(connection: Connection, row: PoolMember) -> None:
    part.insert(connection, member, row)


def get(connection: Connection, key: str) -> PoolMember | None:
    return standard.get(connection, member, PoolMember, key)


def find(connection: Connection, **values: Any) -> list[PoolMember]:
    """Rows whose columns have these values, oldest first."""
    return standard.find(connection, member, PoolMember, **values)


def page(connection: Connection, query: NetworkQuery, *, pool_id: str) -> list[PoolMember]:
    """Of one pool."""
    return standard.page(connection, member, PoolMember, query, member.c.pool_id == pool_id)


def of_balancers(connection: Connection, balancer_ids: Collection[str]) -> list[PoolMember]:
    query = sa.select(member).order_by(member.c.made_revision)
    column = member.c.load_balancer_id
    return schema.fetch_among(connection, query, column, balancer_ids, PoolMember)


def every(connection: Connection) -> list[PoolMember]:
    query = sa.select(member).order_by(member.c.made_revision)
    return schema.fetch(connection, query, PoolMember)


def update(connection: Connection, row: PoolMember, *, now: datetime, **values: Any) -> None:
    part.rebalance(connection, member, row, now=now, values=values)


def set_health(connection: Connection, key: str, health: str) -> None:
    """What is, not what is wanted: the row's revision stays."""
    schema.update(connection, member, key, {"health": health})


def delete(connection: Connection, row: PoolMember, *, now: datetime) -> None:
    part.delete(connection, member, row, now=now)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, member, project_id)
