"""Members: the rows. A member is an address and port that a pool gives connections to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.load_balancer import part
from kumoi.cloud.store.load_balancer.part import PartTable
from kumoi.cloud.store.schema import ID, metadata


@dataclass(frozen=True, slots=True)
class PoolMember:
    """`health` is what hosts say of it, or None; nobody else writes it. `subnet_id` of None is the
    subnet of the virtual address. An address is kept in its one form; `…_text` is how it was written, where
    that is another.
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
    address_text: str | None = None
    monitor_address_text: str | None = None


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
    sa.Column("address_text", sa.String(64)),
    sa.Column("monitor_address_text", sa.String(64)),
    sa.UniqueConstraint("pool_id", "address", "protocol_port"),
)

TABLE = PartTable(member, PoolMember)
get = TABLE.get
find = TABLE.find
of_balancers = TABLE.of_balancers
every = TABLE.every
update = TABLE.rebalance
delete = TABLE.delete
insert_all = TABLE.insert_all
update_all = TABLE.rebalance_all
delete_all = TABLE.delete_all
count = TABLE.count


def set_health(connection: Connection, key: str, health: str) -> None:
    """What is, not what is wanted: the row's revision stays."""
    schema.update(connection, member, key, {"health": health})
