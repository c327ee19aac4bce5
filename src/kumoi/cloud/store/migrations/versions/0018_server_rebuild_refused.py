"""The generation in which a server's host refused a rebuild; 0 when it did not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    column = sa.Column("rebuild_refused", sa.Integer(), nullable=False, server_default="0")
    op.add_column("server", column)
