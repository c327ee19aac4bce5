"""What a flow is about, and the version of its state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    subject = sa.Column("subject", sa.String(64), nullable=False, server_default="")
    version = sa.Column("state_version", sa.Integer(), nullable=False, server_default="1")
    op.add_column("flow", subject)
    op.add_column("flow", version)
