"""Tasks of images: the rows. Each is an import that was asked for."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Json, Timestamp


class TaskStatus(enum.StrEnum):
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class ImageTask:
    """`owner` is a project's id, `input` the request as it came. A task goes when it expires."""

    id: str
    image_id: str
    owner: str | None
    user_id: str
    request_id: str
    status: str
    input: dict[str, Any]
    message: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime


image_task = sa.Table(
    "image_task",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("image_id", ID, nullable=False, index=True),
    sa.Column("owner", ID),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("request_id", ID, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("input", Json, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False, index=True),
)


def insert(connection: Connection, row: ImageTask) -> None:
    schema.insert(connection, image_task, schema.values(row))


def get(connection: Connection, key: str) -> ImageTask | None:
    return schema.get(connection, image_task, ImageTask, key)


def page(connection: Connection, wanted: Listing) -> list[ImageTask]:
    return listing.page(connection, image_task, ImageTask, wanted)


def of_image(connection: Connection, image_id: str) -> list[ImageTask]:
    """Oldest first."""
    return schema.find(connection, image_task, ImageTask, image_id=image_id)


def update(connection: Connection, key: str, **values: Any) -> None:
    schema.update(connection, image_task, key, values)


def forget_oldest(connection: Connection, image_id: str, *, kept: int) -> None:
    """Of one image's, the newest `kept` stay."""
    mine = image_task.c.image_id == image_id
    schema.forget_oldest(connection, mine, image_task.c.created_at, kept=kept)


def delete_expired(connection: Connection, now: datetime) -> None:
    connection.execute(sa.delete(image_task).where(image_task.c.expires_at <= now))
