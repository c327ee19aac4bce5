"""Instance actions: who requested what of a server, when, and how it ended. The rows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Timestamp
from kumoi.engine.statement import Statement


@dataclass(frozen=True, slots=True)
class InstanceAction:
    """`event` is the only event that an action has here. An action is under way until `finish_at` is
    set.
    """

    request_id: str
    server_id: str
    action: str
    event: str
    user_id: str
    project_id: str
    host_id: str | None
    start_at: datetime
    finish_at: datetime | None
    result: str | None
    message: str | None


server_action = sa.Table(
    "server_action",
    metadata,
    sa.Column("request_id", ID, primary_key=True),
    sa.Column("server_id", ID, primary_key=True),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("event", sa.String(64), nullable=False),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("project_id", ID, nullable=False),
    sa.Column("host_id", ID),
    sa.Column("start_at", Timestamp, nullable=False),
    sa.Column("finish_at", Timestamp),
    sa.Column("result", sa.String(16)),
    sa.Column("message", sa.Text),
    sa.Index("ix_server_action_server_id_start_at", "server_id", "start_at"),
)


def insert(connection: Connection, row: InstanceAction) -> None:
    schema.insert(connection, server_action, schema.values(row))


def get(connection: Connection, server_id: str, request_id: str) -> InstanceAction | None:
    query = sa.select(server_action).where(
        server_action.c.server_id == server_id, server_action.c.request_id == request_id
    )
    return schema.fetch_one(connection, query, InstanceAction)


def page(
    connection: Connection,
    server_id: str,
    *,
    since: datetime | None,
    until: datetime | None,
    marker: str | None,
    limit: int,
) -> list[InstanceAction]:
    """Newest first; the marker is a request id and is known to exist."""
    changed_at = sa.func.coalesce(server_action.c.finish_at, server_action.c.start_at)
    query = sa.select(server_action).where(server_action.c.server_id == server_id)
    if since is not None:
        query = query.where(changed_at >= since)
    if until is not None:
        query = query.where(changed_at <= until)
    if marker is not None:
        last = get(connection, server_id, marker)
        if last is not None:
            query = query.where(
                sa.tuple_(server_action.c.start_at, server_action.c.request_id)
                < sa.tuple_(sa.literal(last.start_at, Timestamp), sa.literal(last.request_id))
            )
    query = query.order_by(server_action.c.start_at.desc(), server_action.c.request_id.desc())
    return schema.fetch(connection, query.limit(limit), InstanceAction)


def finish(
    connection: Connection, server_id: str, *, at: datetime, result: str, message: str | None
) -> None:
    """End the actions of a server that are under way."""
    values = {"finish_at": at, "result": result, "message": message}
    _FINISH.run(connection, {**values, "of_server": server_id})


_FINISH = Statement(
    sa.update(server_action).where(
        server_action.c.server_id == sa.bindparam("of_server"),
        server_action.c.finish_at.is_(None),
    ),
    ("finish_at", "result", "message"),
)


def forget_oldest(connection: Connection, server_id: str, *, kept: int) -> None:
    """Of one server's, the newest `kept` stay."""
    mine = server_action.c.server_id == server_id
    schema.forget_oldest(connection, mine, server_action.c.start_at, kept=kept)


def forget(connection: Connection, server_ids: Collection[str]) -> None:
    connection.execute(
        sa.delete(server_action).where(server_action.c.server_id.in_(list(server_ids)))
    )
