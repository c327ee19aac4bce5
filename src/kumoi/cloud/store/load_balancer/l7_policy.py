"""L7 policies: the rows. A policy says what becomes of a listener's requests that all its rules fit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from kumoi.cloud.store.load_balancer import part
from kumoi.cloud.store.load_balancer.part import PartTable
from kumoi.cloud.store.schema import ID, metadata


@dataclass(frozen=True, slots=True)
class L7Policy:
    """`position` is its place among the policies of its listener, from 1 and without a gap."""

    id: str
    project_id: str
    load_balancer_id: str
    name: str
    description: str
    admin_state_up: bool
    listener_id: str
    action: str
    position: int
    redirect_pool_id: str | None
    redirect_url: str | None
    redirect_prefix: str | None
    redirect_http_code: int | None
    made_revision: int
    changed_revision: int
    created_at: datetime
    updated_at: datetime
    revision_number: int


l7_policy = sa.Table(
    "load_balancer_l7_policy",
    metadata,
    *part.columns(),
    sa.Column(
        "listener_id", ID, sa.ForeignKey("load_balancer_listener.id"), nullable=False, index=True
    ),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("redirect_pool_id", ID, sa.ForeignKey("load_balancer_pool.id"), index=True),
    sa.Column("redirect_url", sa.String(255)),
    sa.Column("redirect_prefix", sa.String(255)),
    sa.Column("redirect_http_code", sa.Integer),
)

TABLE = PartTable(l7_policy, L7Policy)
find = TABLE.find
of_balancers = TABLE.of_balancers
every = TABLE.every
update = TABLE.update
delete = TABLE.delete
delete_all = TABLE.delete_all
count = TABLE.count
