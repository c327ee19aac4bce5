"""The protocol that a host speaks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    column = sa.Column("protocol", sa.Integer(), nullable=False, server_default="0")
    op.add_column("host", column)
