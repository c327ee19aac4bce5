"""Host aggregates, which make availability zones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    op.create_table(
        "host_aggregate",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("zone", sa.String(length=255), nullable=True),
        sa.Column("hosts", Json(), nullable=False),
        sa.Column("properties", Json(), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_host_aggregate")),
        sa.UniqueConstraint("name", name=op.f("uq_host_aggregate_name")),
        sa.UniqueConstraint("number", name=op.f("uq_host_aggregate_number")),
    )
