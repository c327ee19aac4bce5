"""The epoch that a revision of the change feed belongs to; made by the next write."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    column = sa.Column("epoch", sa.String(32), nullable=False, server_default="")
    op.add_column("feed_revision", column)
