"""Listeners: the rows. A listener is a port of the virtual address."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.load_balancer import part
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Json


@dataclass(frozen=True, slots=True)
class BalancerListener:
    """`connection_limit` of -1 is none. Time-outs are in milliseconds. `number` is its own among the
    balancer's listeners, and stays; `insert` chooses it.
    """

    id: str
    project_id: str
    load_balancer_id: str
    name: str
    description: str
    admin_state_up: bool
    protocol: str
    protocol_port: int
    connection_limit: int
    default_pool_id: str | None
    insert_headers: dict[str, str]
    allowed_cidrs: list[str]
    timeout_client_data: int
    timeout_member_connect: int
    timeout_member_data: int
    timeout_tcp_inspect: int
    made_revision: int
    changed_revision: int
    created_at: datetime
    updated_at: datetime
    revision_number: int
    number: int = 0


listener = sa.Table(
    "load_balancer_listener",
    metadata,
    *part.columns(),
    sa.Column("protocol", sa.String(16), nullable=False),
    sa.Column("protocol_port", sa.Integer, nullable=False),
    sa.Column("connection_limit", sa.Integer, nullable=False),
    sa.Column("default_pool_id", ID, sa.ForeignKey("load_balancer_pool.id"), index=True),
    sa.Column("insert_headers", Json, nullable=False),
    sa.Column("allowed_cidrs", Json, nullable=False),
    sa.Column("timeout_client_data", sa.Integer, nullable=False),
    sa.Column("timeout_member_connect", sa.Integer, nullable=False),
    sa.Column("timeout_member_data", sa.Integer, nullable=False),
    sa.Column("timeout_tcp_inspect", sa.Integer, nullable=False),
    sa.Column("number", sa.Integer, nullable=False, server_default="0"),
)


def insert(connection: Connection, row: BalancerListener) -> None:
    taken = {one.number for one in find(connection, load_balancer_id=row.load_balancer_id)}
    number = next(number for number in itertools.count() if number not in taken)
    part.insert(connection, listener, replace(row, number=number))


def get(connection: Connection, key: str) -> BalancerListener | None:
    return standard.get(connection, listener, BalancerListener, key)


def find(connection: Connection, **values: Any) -> list[BalancerListener]:
    """Rows whose columns have these values, oldest first."""
    return standard.find(connection, listener, BalancerListener, **values)


def page(
    connection: Connection, query: NetworkQuery, *, project_id: str | None
) -> list[BalancerListener]:
    mine = [] if project_id is None else [listener.c.project_id == project_id]
    return standard.page(connection, listener, BalancerListener, query, *mine)


def of_balancers(connection: Connection, balancer_ids: Collection[str]) -> list[BalancerListener]:
    query = sa.select(listener).order_by(listener.c.made_revision)
    column = listener.c.load_balancer_id
    return schema.fetch_among(connection, query, column, balancer_ids, BalancerListener)


def every(connection: Connection) -> list[BalancerListener]:
    query = sa.select(listener).order_by(listener.c.made_revision)
    return schema.fetch(connection, query, BalancerListener)


def update(connection: Connection, row: BalancerListener, *, now: datetime, **values: Any) -> None:
    part.update(connection, listener, row, now=now, values=values)


def delete(connection: Connection, row: BalancerListener, *, now: datetime) -> None:
    part.delete(connection, listener, row, now=now)


def count(connection: Connection, project_id: str) -> int:
    return standard.count(connection, listener, project_id)
