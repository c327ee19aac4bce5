"""Flavors and availability zones of load balancers: the rows. A balancer is made with one of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import ID, NAME, Where, metadata
from kumoi.engine.db import Timestamp

FLAVOR, ZONE = "flavor", "availability_zone"


@dataclass(frozen=True, slots=True)
class BalancerChoice:
    """`kind` is FLAVOR or ZONE; no two of a kind have one name. One that is not `enabled` cannot be
    chosen.
    """

    id: str
    kind: str
    name: str
    description: str
    enabled: bool
    profile_id: str
    created_at: datetime
    updated_at: datetime


choice = sa.Table(
    "load_balancer_choice",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("name", NAME, nullable=False),
    sa.Column("description", NAME, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column(
        "profile_id",
        ID,
        sa.ForeignKey("load_balancer_choice_profile.id"),
        nullable=False,
        index=True,
    ),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.UniqueConstraint("kind", "name"),
)


def insert(connection: Connection, row: BalancerChoice) -> None:
    schema.insert(connection, choice, schema.values(row))


def find(connection: Connection, **values: Any) -> list[BalancerChoice]:
    return schema.find(connection, choice, BalancerChoice, **values)


def page(connection: Connection, kind: str, query: NetworkQuery) -> list[BalancerChoice]:
    own = Where("kind", lambda: choice.c.kind == sa.bindparam("own_kind"), {"own_kind": kind})
    return listing.page(connection, choice, BalancerChoice, query.listing, own)


def update(connection: Connection, key: str, **values: Any) -> None:
    schema.update(connection, choice, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, choice, key)
