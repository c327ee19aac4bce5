"""Tasks of images, which are imports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    op.create_table(
        "image_task",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("image_id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("input", Json(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.Column("expires_at", Timestamp(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_task")),
    )
    op.create_index(op.f("ix_image_task_expires_at"), "image_task", ["expires_at"], unique=False)
    op.create_index(op.f("ix_image_task_image_id"), "image_task", ["image_id"], unique=False)
