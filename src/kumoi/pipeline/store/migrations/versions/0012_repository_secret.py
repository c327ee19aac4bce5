"""Secrets that a repository's steps are given and that nobody commits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.schema import Timestamp

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "repository_secret",
        sa.Column("repository_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("set_at", Timestamp(timezone=True), nullable=False),
        sa.Column("user_name", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["repository_id"],
            ["repository.id"],
            name=op.f("fk_repository_secret_repository_id"),
        ),
        sa.PrimaryKeyConstraint("repository_id", "name", name=op.f("pk_repository_secret")),
    )
