"""A host's address, as the host itself says; empty before it has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    column = sa.Column("address", sa.String(64), nullable=False, server_default="")
    op.add_column("host", column)
