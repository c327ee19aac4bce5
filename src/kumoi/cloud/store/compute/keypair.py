"""Keypairs: the rows. They belong to users, not to projects; only the public key is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Timestamp


@dataclass(frozen=True, slots=True)
class Keypair:
    number: int
    user_id: str
    name: str
    type: str
    public_key: str
    fingerprint: str
    created_at: datetime


keypair = sa.Table(
    "keypair",
    metadata,
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("user_id", ID, primary_key=True),
    sa.Column("name", NAME, primary_key=True),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("fingerprint", NAME, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
)


def insert(connection: Connection, row: Keypair) -> None:
    schema.insert(connection, keypair, schema.values(row))


def get(connection: Connection, user_id: str, name: str) -> Keypair | None:
    query = sa.select(keypair).where(keypair.c.user_id == user_id, keypair.c.name == name)
    return schema.fetch_one(connection, query, Keypair)


def page(connection: Connection, user_id: str, *, marker: str | None, limit: int) -> list[Keypair]:
    """Ordered by name, after the keypair of that name."""
    query = sa.select(keypair).where(keypair.c.user_id == user_id).order_by(keypair.c.name)
    if marker is not None:
        query = query.where(keypair.c.name > marker)
    return schema.fetch(connection, query.limit(limit), Keypair)


def count(connection: Connection, user_id: str) -> int:
    query = sa.select(sa.func.count()).where(keypair.c.user_id == user_id)
    return int(connection.execute(query).scalar_one())


def next_number(connection: Connection) -> int:
    most = connection.execute(sa.select(sa.func.max(keypair.c.number))).scalar_one_or_none()
    return (most or 0) + 1


def delete(connection: Connection, user_id: str, name: str) -> bool:
    """False when there was none."""
    done = connection.execute(
        sa.delete(keypair).where(keypair.c.user_id == user_id, keypair.c.name == name)
    )
    return done.rowcount == 1
