"""Servers that are healed elsewhere: which may be, where they went and why, and what hosts say of each other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0054"
down_revision = "0053"


def upgrade() -> None:
    op.create_table(
        "witness",
        sa.Column("host_id", sa.String(length=64), nullable=False),
        sa.Column("about_host_id", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("asked_at", Timestamp(timezone=True), nullable=False),
        sa.Column("answered_at", Timestamp(timezone=True), nullable=True),
        sa.Column("reached", sa.Boolean(), nullable=False),
        sa.Column("tunnel", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("host_id", "about_host_id", name=op.f("pk_witness")),
    )
    op.add_column("migration", sa.Column("reason", sa.Text(), server_default="", nullable=False))
    op.add_column("migration", sa.Column("witnesses", Json(), nullable=True))
    op.add_column(
        "server", sa.Column("fenced", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
