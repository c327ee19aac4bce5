"""The end of each server's console output, as its host sent it: the rows."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Timestamp

server_console = sa.Table(
    "server_console",
    metadata,
    sa.Column("server_id", ID, primary_key=True),
    sa.Column("output", sa.Text, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
)


def get(connection: Connection, server_id: str) -> str:
    """Empty when the host has sent none."""
    query = sa.select(server_console.c.output).where(server_console.c.server_id == server_id)
    return connection.execute(query).scalar_one_or_none() or ""


def put(connection: Connection, server_id: str, output: str, now: datetime) -> None:
    done = connection.execute(
        sa.update(server_console)
        .where(server_console.c.server_id == server_id)
        .values(output=output, updated_at=now)
    )
    if done.rowcount == 0:
        row = {"server_id": server_id, "output": output, "updated_at": now}
        schema.insert(connection, server_console, row)


def delete(connection: Connection, server_id: str) -> None:
    connection.execute(sa.delete(server_console).where(server_console.c.server_id == server_id))
