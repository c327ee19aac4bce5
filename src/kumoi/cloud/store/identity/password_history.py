"""Passwords that users had, as hashes: the rows. Kept only where a new one must differ from them."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Timestamp

password_history = sa.Table(
    "password_history",
    metadata,
    sa.Column("user_id", ID, primary_key=True),
    sa.Column("password_hash", NAME, primary_key=True),
    sa.Column("ended_at", Timestamp, nullable=False),
)


def hashes(connection: Connection, user_id: str) -> list[str]:
    """The newest first."""
    query = sa.select(password_history.c.password_hash).where(password_history.c.user_id == user_id)
    order = (password_history.c.ended_at.desc(), password_history.c.password_hash)
    return list(connection.execute(query.order_by(*order)).scalars())


def add(
    connection: Connection, user_id: str, password_hash: str, at: datetime, *, most: int
) -> None:
    """And forget those that are too many."""
    values = {"user_id": user_id, "password_hash": password_hash, "ended_at": at}
    schema.insert(connection, password_history, values)
    for old in hashes(connection, user_id)[most:]:
        _delete(connection, user_id, password_history.c.password_hash == old)


def delete_of(connection: Connection, user_id: str) -> None:
    _delete(connection, user_id)


def _delete(connection: Connection, user_id: str, *only: sa.ColumnElement[bool]) -> None:
    own = password_history.c.user_id == user_id
    connection.execute(sa.delete(password_history).where(own, *only))
