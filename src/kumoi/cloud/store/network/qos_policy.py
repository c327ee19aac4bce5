"""Policies of quality of service: the rows. Their rules are in qos_rule.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.schema import NAME, metadata


@dataclass(frozen=True, slots=True)
class QosPolicy:
    """New networks of the project have its default policy, of which there is one."""

    id: str
    project_id: str
    name: str
    description: str
    shared: bool
    is_default: bool
    created_at: datetime
    updated_at: datetime
    revision_number: int


qos_policy = sa.Table(
    "qos_policy",
    metadata,
    *standard.columns(),
    sa.Column("name", NAME, nullable=False),
    sa.Column("shared", sa.Boolean, nullable=False),
    sa.Column("is_default", sa.Boolean, nullable=False),
)


def insert(connection: Connection, row: QosPolicy) -> None:
    standard.insert(connection, qos_policy, schema.values(row))


def get(connection: Connection, key: str) -> QosPolicy | None:
    return standard.get(connection, qos_policy, QosPolicy, key)


def find(connection: Connection, **values: Any) -> list[QosPolicy]:
    return standard.find(connection, qos_policy, QosPolicy, **values)


def page(connection: Connection, query: NetworkQuery, *, project_id: str | None) -> list[QosPolicy]:
    """One page; with `project_id`, of that project's policies and the shared ones."""
    conditions: list[sa.ColumnElement[bool]] = []
    if project_id is not None:
        conditions.append((qos_policy.c.project_id == project_id) | qos_policy.c.shared)
    return standard.page(connection, qos_policy, QosPolicy, query, *conditions)


def update(connection: Connection, key: str, *, now: datetime, **values: Any) -> None:
    standard.update(connection, qos_policy, key, now=now, values=values)


def delete(connection: Connection, key: str) -> None:
    standard.delete(connection, qos_policy, key)
