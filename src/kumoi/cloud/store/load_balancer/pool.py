"""Pools: the rows. A pool is what a listener gives its connections to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kumoi.cloud.store.load_balancer import part
from kumoi.cloud.store.load_balancer.part import PartTable
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
    tls_enabled: bool = False
    tls_container_ref: str | None = None
    ca_tls_container_ref: str | None = None
    crl_container_ref: str | None = None
    tls_ciphers: str | None = None
    tls_versions: list[str] | None = None
    alpn_protocols: list[str] | None = None


pool = sa.Table(
    "load_balancer_pool",
    metadata,
    *part.columns(),
    sa.Column("protocol", sa.String(16), nullable=False),
    sa.Column("lb_algorithm", sa.String(32), nullable=False),
    sa.Column("session_persistence", Json),
    sa.Column("tls_enabled", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("tls_container_ref", sa.String(255)),
    sa.Column("ca_tls_container_ref", sa.String(255)),
    sa.Column("crl_container_ref", sa.String(255)),
    sa.Column("tls_ciphers", sa.String(2_048)),
    sa.Column("tls_versions", Json),
    sa.Column("alpn_protocols", Json),
)

TABLE = PartTable(pool, BalancerPool)
get = TABLE.get
of_balancers = TABLE.of_balancers
every = TABLE.every
update = TABLE.update
delete = TABLE.delete
delete_all = TABLE.delete_all
count = TABLE.count
