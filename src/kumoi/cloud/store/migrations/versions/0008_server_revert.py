"""The generation with which a server's resize was taken back; 0 for none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    column = sa.Column("reverted", sa.Integer(), nullable=False, server_default="0")
    op.add_column("server", column)
