"""What resizes there were, for the list of migrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0046"
down_revision = "0045"


def upgrade() -> None:
    op.create_table(
        "migration",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("server_id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("host_id", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_migration")),
        sa.UniqueConstraint("number", name=op.f("uq_migration_number")),
    )
    op.create_index(op.f("ix_migration_server_id"), "migration", ["server_id"], unique=False)
