"""What a listener, a pool, a member and a health monitor have in common: they are parts of a balancer.

A part says at which revision of its balancer it was made and last changed. Once the network engine
has that revision (`applied_revision` of the balancer), the part is as wanted. Called by the noun
files beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.load_balancer import load_balancer
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.schema import ID, NAME


class BalancerPart(Protocol):
    """What every part has."""

    @property
    def id(self) -> str: ...
    @property
    def project_id(self) -> str: ...
    @property
    def load_balancer_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def admin_state_up(self) -> bool: ...
    @property
    def made_revision(self) -> int: ...
    @property
    def changed_revision(self) -> int: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...


def columns() -> list[sa.Column[Any]]:
    return [
        *standard.columns(),
        sa.Column(
            "load_balancer_id", ID, sa.ForeignKey("load_balancer.id"), nullable=False, index=True
        ),
        sa.Column("name", NAME, nullable=False),
        sa.Column("admin_state_up", sa.Boolean, nullable=False),
        sa.Column("made_revision", sa.Integer, nullable=False),
        sa.Column("changed_revision", sa.Integer, nullable=False),
    ]


def insert(connection: Connection, table: sa.Table, row: Any) -> None:
    """With the balancer's next revision in place of what the row says."""
    now = row.created_at
    revision = load_balancer.advance(connection, row.load_balancer_id, now=now)
    revisions = {"made_revision": revision, "changed_revision": revision}
    standard.insert(connection, table, asdict(row) | revisions)


def update(
    connection: Connection,
    table: sa.Table,
    row: BalancerPart,
    *,
    now: datetime,
    values: Mapping[str, Any],
) -> None:
    revision = load_balancer.advance(connection, row.load_balancer_id, now=now)
    changed = {**values, "changed_revision": revision}
    standard.update(connection, table, row.id, now=now, values=changed)


def rebalance(
    connection: Connection,
    table: sa.Table,
    row: BalancerPart,
    *,
    now: datetime,
    values: Mapping[str, Any],
) -> None:
    """A change that concerns nothing but who gets connections of the balancer: the network need not
    be planned for it.
    """
    revision = load_balancer.rebalance(connection, row.load_balancer_id, now=now)
    changed = {**values, "updated_at": now, "changed_revision": revision}
    schema.update(connection, table, row.id, changed, counted="revision_number")


def delete(connection: Connection, table: sa.Table, row: BalancerPart, *, now: datetime) -> None:
    load_balancer.advance(connection, row.load_balancer_id, now=now)
    standard.delete(connection, table, row.id)
