"""Servers that move from host to host, and the record of that among the resizes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0053"
down_revision = "0052"


def upgrade() -> None:
    op.add_column(
        "server", sa.Column("moving", sa.String(length=16), server_default="", nullable=False)
    )
    op.add_column("server", sa.Column("move", Json(), nullable=True))
    op.add_column("server", sa.Column("move_host_id", sa.String(length=64), nullable=True))
    op.add_column("server", sa.Column("arrival", Json(), nullable=True))
    op.add_column("server", sa.Column("port_use", Json(), nullable=True))
    op.create_index(op.f("ix_server_moving"), "server", ["moving"], unique=False)
    op.create_index(op.f("ix_server_move_host_id"), "server", ["move_host_id"], unique=False)
    op.add_column(
        "migration",
        sa.Column("kind", sa.String(length=16), server_default="resize", nullable=False),
    )
    op.add_column("migration", sa.Column("to_host_id", sa.String(length=64), nullable=True))
