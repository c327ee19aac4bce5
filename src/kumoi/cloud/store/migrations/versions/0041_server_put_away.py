"""Servers that are suspended, imaged, rescued or shelved; files for their disks; rotated backups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    op.add_column(
        "server", sa.Column("suspended", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column(
        "server", sa.Column("imaging", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.add_column("server", sa.Column("files", Json(), nullable=True))
    op.add_column("server", sa.Column("rescue", Json(), nullable=True))
    op.add_column(
        "server", sa.Column("unrescued", sa.Integer(), server_default="0", nullable=False)
    )
    op.add_column(
        "server", sa.Column("shelf", sa.String(length=16), server_default="", nullable=False)
    )
    op.add_column("server", sa.Column("shelved", Json(), nullable=True))
    op.add_column("server_snapshot", sa.Column("rotation", sa.Integer(), nullable=True))
