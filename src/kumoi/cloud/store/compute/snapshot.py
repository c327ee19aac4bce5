"""Images to be made from servers: the rows. Each is deleted once the image's content has come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Timestamp


@dataclass(frozen=True, slots=True)
class Snapshot:
    image_id: str
    server_id: str
    project_id: str
    user_id: str
    created_at: datetime
    rotation: int | None = None


server_snapshot = sa.Table(
    "server_snapshot",
    metadata,
    sa.Column("image_id", ID, primary_key=True),
    sa.Column("server_id", ID, nullable=False, index=True),
    sa.Column("project_id", ID, nullable=False),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("rotation", sa.Integer),  # Of a backup: how many of its kind are kept.
)


def insert(connection: Connection, row: Snapshot) -> None:
    schema.insert(connection, server_snapshot, schema.values(row))


def get(connection: Connection, image_id: str) -> Snapshot | None:
    query = sa.select(server_snapshot).where(server_snapshot.c.image_id == image_id)
    return schema.fetch_one(connection, query, Snapshot)


def by_server(connection: Connection, server_ids: Collection[str]) -> dict[str, list[str]]:
    """The ids of images to be made, oldest first, by server."""
    query = sa.select(server_snapshot.c.server_id, server_snapshot.c.image_id).order_by(
        server_snapshot.c.created_at
    )
    found: dict[str, list[str]] = defaultdict(list)
    for row in schema.among(connection, query, server_snapshot.c.server_id, server_ids):
        found[row["server_id"]].append(row["image_id"])
    return found


def is_any_of(connection: Connection, server_id: str) -> bool:
    query = sa.select(server_snapshot.c.image_id).where(server_snapshot.c.server_id == server_id)
    return connection.execute(query.limit(1)).first() is not None


def delete(connection: Connection, image_id: str) -> bool:
    """False when there was none."""
    done = connection.execute(
        sa.delete(server_snapshot).where(server_snapshot.c.image_id == image_id)
    )
    return done.rowcount == 1


def delete_of_server(connection: Connection, server_id: str) -> list[str]:
    """Gives the ids of the images, which will not be made."""
    query = sa.select(server_snapshot.c.image_id).where(server_snapshot.c.server_id == server_id)
    keys = list(connection.execute(query).scalars())
    if keys:
        connection.execute(
            sa.delete(server_snapshot).where(server_snapshot.c.server_id == server_id)
        )
    return keys
