"""Members of images: the projects that a shared image is shared with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Timestamp


@dataclass(frozen=True, slots=True)
class ImageMember:
    """`member_id` is a project's id; `status` is pending, accepted or rejected."""

    image_id: str
    member_id: str
    status: str
    created_at: datetime
    updated_at: datetime


member = sa.Table(
    "image_member",
    metadata,
    sa.Column("image_id", ID, sa.ForeignKey("image.id"), primary_key=True),
    sa.Column("member_id", ID, primary_key=True, index=True),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
)


def insert(connection: Connection, row: ImageMember) -> None:
    schema.insert(connection, member, schema.values(row))


def get(connection: Connection, image_id: str, member_id: str) -> ImageMember | None:
    return schema.fetch_one(
        connection, sa.select(member).where(*_same(image_id, member_id)), ImageMember
    )


def of_image(connection: Connection, image_id: str) -> list[ImageMember]:
    query = sa.select(member).where(member.c.image_id == image_id).order_by(member.c.member_id)
    return schema.fetch(connection, query, ImageMember)


def set_status(
    connection: Connection, image_id: str, member_id: str, *, status: str, now: datetime
) -> None:
    connection.execute(
        sa.update(member).where(*_same(image_id, member_id)).values(status=status, updated_at=now)
    )


def delete(connection: Connection, image_id: str, member_id: str) -> bool:
    """False when there was none."""
    done = connection.execute(sa.delete(member).where(*_same(image_id, member_id)))
    return done.rowcount == 1


def delete_of_image(connection: Connection, image_id: str) -> None:
    connection.execute(sa.delete(member).where(member.c.image_id == image_id))


def _same(image_id: str, member_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return member.c.image_id == image_id, member.c.member_id == member_id
