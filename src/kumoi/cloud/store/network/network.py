"""Networks: the rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine import feed
from kumoi.engine.db import Timestamp

TOPIC = "network"  # Whatever the network planner must look at again.


@dataclass(frozen=True, slots=True)
class Network:
    id: str
    project_id: str
    name: str
    description: str
    admin_state_up: bool
    shared: bool
    external: bool
    is_default: bool
    port_security_enabled: bool
    mtu: int
    network_type: str
    physical_network: str | None
    segmentation_id: int | None
    created_at: datetime
    updated_at: datetime
    revision_number: int


network = sa.Table(
    "network",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", ID, nullable=False, index=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("description", NAME, nullable=False),
    sa.Column("admin_state_up", sa.Boolean, nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False),
    sa.Column("external", sa.Boolean, nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
    sa.Column("port_security_enabled", sa.Boolean, nullable=False),
    sa.Column("mtu", sa.Integer, nullable=False),
    sa.Column("network_type", sa.String(32), nullable=False),
    sa.Column("physical_network", sa.String(64)),
    sa.Column("segmentation_id", sa.Integer),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.Column("revision_number", sa.Integer, nullable=False),
)


def insert(connection: Connection, row: Network) -> None:
    schema.insert(connection, network, asdict(row))
    feed.touch(connection, TOPIC, row.id)


def get(connection: Connection, key: str) -> Network | None:
    return schema.fetch_one(connection, sa.select(network).where(network.c.id == key), Network)


def page(connection: Connection, wanted: Listing, *, project_id: str | None) -> list[Network]:
    """One page; with `project_id`, of what that project sees: its own, the shared, the external."""
    seen: list[sa.ColumnElement[bool]] = []
    if project_id is not None:
        seen.append((network.c.project_id == project_id) | network.c.shared | network.c.external)
    return listing.page(connection, network, Network, wanted, *seen)


def every(connection: Connection) -> list[Network]:
    """All there are, for the planner."""
    return schema.fetch(connection, sa.select(network), Network)


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    values |= {"updated_at": now, "revision_number": network.c.revision_number + 1}
    schema.update(connection, network, key, values)
    feed.touch(connection, TOPIC, key)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, network, key)
    feed.touch(connection, TOPIC, key)
