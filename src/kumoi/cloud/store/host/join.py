"""Hosts that may join, and have: a row a host, which its newest token makes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Timestamp


@dataclass(frozen=True, slots=True)
class Join:
    """`address` is reserved on the underlay until the token expires, and for good once the host has
    joined, with the key whose SHA-256 is here.
    """

    host_id: str
    nonce: str
    address: str
    expires_at: datetime
    public_key_sha256: str = ""
    joined_at: datetime | None = None


join = sa.Table(
    "host_join",
    metadata,
    sa.Column("host_id", ID, primary_key=True),
    sa.Column("nonce", sa.String(64), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False),
    sa.Column("public_key_sha256", sa.String(64), nullable=False),
    sa.Column("joined_at", Timestamp),
)


def get(connection: Connection, host_id: str) -> Join | None:
    query = sa.select(join).where(join.c.host_id == host_id)
    return schema.fetch_one(connection, query, Join)


def every(connection: Connection) -> list[Join]:
    return schema.fetch(connection, sa.select(join).order_by(join.c.host_id), Join)


def replace(connection: Connection, row: Join) -> None:
    delete(connection, row.host_id)
    schema.insert(connection, join, schema.values(row))


def delete(connection: Connection, host_id: str) -> None:
    connection.execute(sa.delete(join).where(join.c.host_id == host_id))
