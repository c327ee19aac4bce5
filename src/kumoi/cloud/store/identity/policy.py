"""Policies that services keep here: the rows. Stored and shown; this cloud's own are in kumoi/policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    id: str
    type: str
    blob: str
    extra: dict[str, Any] | None = None


policy = sa.Table(
    "policy",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("type", NAME, nullable=False),
    sa.Column("blob", sa.Text, nullable=False),
    sa.Column("extra", Json),
)


def insert(connection: Connection, row: StoredPolicy) -> None:
    schema.insert(connection, policy, schema.values(row))


def get(connection: Connection, key: str) -> StoredPolicy | None:
    return schema.get(connection, policy, StoredPolicy, key)


def page(connection: Connection, wanted: Listing) -> list[StoredPolicy]:
    return listing.page(connection, policy, StoredPolicy, wanted)


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, policy, key, values)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, policy, key)
