"""Listeners: the rows. A listener is a port of the virtual address."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store.load_balancer import part
from kumoi.cloud.store.load_balancer.part import PartTable
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


class _ListenerTable(PartTable[BalancerListener]):
    def insert(self, connection: Connection, row: BalancerListener) -> None:
        taken = {one.number for one in self.find(connection, load_balancer_id=row.load_balancer_id)}
        number = next(number for number in itertools.count() if number not in taken)
        super().insert(connection, replace(row, number=number))


TABLE = _ListenerTable(listener, BalancerListener)
get = TABLE.get
find = TABLE.find
of_balancers = TABLE.of_balancers
every = TABLE.every
update = TABLE.update
delete = TABLE.delete
count = TABLE.count
