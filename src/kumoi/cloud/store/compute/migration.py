"""Resizes and moves, as the list of migrations shows them: the rows. In a resize a server stays on its host."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Json, Timestamp


class MigrationStatus(enum.StrEnum):
    MIGRATING = "migrating"
    CONFIRMED = "confirmed"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    ERROR = "error"
    REVERTED = "reverted"
    DONE = "done"


RESIZE, COLD, LIVE, EVACUATION = "resize", "migration", "live-migration", "evacuation"
"""The kinds, in Nova's words: of moves the second is what `migrate` asks for, the third
`os-migrateLive`; the last is of servers made again elsewhere, as their host was lost.
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """A resize is migrating until its owner has decided; `number` counts all there ever were. `to_host_id` is
    where a server moves, None for a resize. `reason` and `witnesses` say why it was evacuated.
    """

    id: str
    number: int
    server_id: str
    project_id: str
    user_id: str
    host_id: str | None
    status: str
    created_at: datetime
    updated_at: datetime
    kind: str = RESIZE
    to_host_id: str | None = None
    reason: str = ""
    witnesses: dict[str, Any] | None = None


migration = sa.Table(
    "migration",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False, unique=True),
    sa.Column("server_id", ID, nullable=False, index=True),
    sa.Column("project_id", ID, nullable=False),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("host_id", ID),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False, server_default=RESIZE),
    sa.Column("to_host_id", ID),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("witnesses", Json),  # Who said that the host was gone, and what.
)


def insert(connection: Connection, row: Migration) -> None:
    schema.insert(connection, migration, schema.values(row))


def next_number(connection: Connection) -> int:
    last = connection.execute(sa.select(sa.func.max(migration.c.number))).scalar_one()
    return (last or 0) + 1


def end(connection: Connection, server_id: str, status: MigrationStatus, now: datetime) -> None:
    """Of the server's resize or move that is under way."""
    connection.execute(
        sa.update(migration)
        .where(
            migration.c.server_id == server_id,
            migration.c.status == MigrationStatus.MIGRATING.value,
        )
        .values(status=status.value, updated_at=now)
    )


def under_way(connection: Connection, server_id: str) -> list[Migration]:
    """The server's moves that are under way: one at most."""
    query = sa.select(migration).where(
        migration.c.server_id == server_id,
        migration.c.status == MigrationStatus.MIGRATING.value,
        migration.c.kind != RESIZE,
    )
    return schema.fetch(connection, query, Migration)


def page(
    connection: Connection,
    wanted: Listing,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Migration]:
    conditions: list[sa.ColumnElement[bool]] = []
    if since is not None:
        conditions.append(migration.c.updated_at >= since)
    if until is not None:
        conditions.append(migration.c.updated_at <= until)
    return listing.page(connection, migration, Migration, wanted, *conditions)


def forget(connection: Connection, server_ids: Collection[str]) -> None:
    connection.execute(sa.delete(migration).where(migration.c.server_id.in_(list(server_ids))))
