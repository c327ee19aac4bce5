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
    balancer's listeners, and stays; `insert` chooses it. References of TLS are those of secrets of the
    key manager; what is None there is not used.
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
    default_tls_container_ref: str | None = None
    sni_container_refs: list[str] | None = None
    client_ca_tls_container_ref: str | None = None
    client_authentication: str = "NONE"
    client_crl_container_ref: str | None = None
    tls_ciphers: str | None = None
    tls_versions: list[str] | None = None
    alpn_protocols: list[str] | None = None
    hsts_max_age: int | None = None
    hsts_include_subdomains: bool = False
    hsts_preload: bool = False


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
    sa.Column("tls_ciphers", sa.String(2_048)),
    sa.Column("tls_versions", Json),
    sa.Column("alpn_protocols", Json),
    sa.Column("default_tls_container_ref", sa.String(255)),
    sa.Column("sni_container_refs", Json),
    sa.Column("client_ca_tls_container_ref", sa.String(255)),
    sa.Column("client_authentication", sa.String(16), nullable=False, server_default="NONE"),
    sa.Column("client_crl_container_ref", sa.String(255)),
    sa.Column("hsts_max_age", sa.Integer),
    sa.Column("hsts_include_subdomains", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("hsts_preload", sa.Boolean, nullable=False, server_default=sa.false()),
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
delete_all = TABLE.delete_all
count = TABLE.count
