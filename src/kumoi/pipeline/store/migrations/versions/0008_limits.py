"""Runs that wait for their turn, and the sizes of what a project has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("environment", _size("disk_gib", sa.Integer()))
    op.add_column("repository", _size("size_bytes", sa.BigInteger()))
    queued: sa.Column[bool] = sa.Column(
        "is_queued", sa.Boolean(), server_default=sa.false(), nullable=False
    )
    op.add_column("run", queued)
    op.add_column("run", sa.Column("admitted_at", Timestamp(), nullable=True))
    op.add_column("run", _size("log_size", sa.Integer()))


def _size(name: str, type_: sa.Integer) -> sa.Column[int]:
    return sa.Column(name, type_, server_default="0", nullable=False)
