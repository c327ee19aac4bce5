"""Pools: the rows. A pool is what a listener gives its connections to."""

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
from kumoi.cloud.store.schema import metadata
from kumoi.engine.db import Json


@dataclass(frozen=True, slots=True)
class BalancerPool:
    """`session_persistence` is what the API says of it, or None."""

    id: str
    project_id: str
    load_balancer_id: str
    name: str
    description: str
    admin_state_up: bool
    protocol: str
    lb_algorithm: str
    session_persistence: dict[str, Any] | None
    made_revision: int
    changed_revision: int
    created_at: datetime
    updated_at: datetime
    revision_number: int


pool = sa.Table(
    "load_balancer_pool",
    metadata,
    *part.columns(),
    sa.Column("protocol", sa.String(16), nullable=False),
    sa.Column("lb_algorithm", sa.String(32), nullable=False),
    sa.Column("session_persistence", Json),
)


def insert(connection: Connection, row: BalancerPool) -> None:
    part.insert(connection, pool, row)


def get(connection: Connection, key: str) -> BalancerPool | None:
    return standard.get(connection, pool, BalancerPool, key)


def page(
    connection: Connection, query: NetworkQuery, *, project_id: str | None
) -> list[BalancerPool]:
    mine = [] if project_id is None else [pool.c.project_id == project_id]
    return standard.page(connection, pool, BalancerPool, query, *mine)


def of_balancers(connection: Connection, balancer_ids: Collection[str]) -> list[BalancerPool]:
    query = sa.select(pool).order_by(pool.c.made_revision)
    column = pool.c.load_balancer_id
    return schema.fetch_among(connection, query, column, balancer_ids, BalancerPool)


def every(connection: Connection) -> list[BalancerPool]:
    query = sa.select(pool).order_by(pool.c.made_revision)
    return schema.fetch(connection, query, BalancerPool)


def update(connection: Connection, row: BalancerPool, *, now: datetime, **values: Any) -> None:
    part.update(connection, pool, row, now=now, values=values)


def delete(connection: Connection, row: BalancerPool, *, now: datetime) -> None:
    part.delete(connection, pool, row, now=now)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, pool, project_id)
