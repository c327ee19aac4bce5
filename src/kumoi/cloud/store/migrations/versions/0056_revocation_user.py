"""Whose tokens a revoked token or credential is of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0056"
down_revision = "0055"


def upgrade() -> None:
    op.add_column("revocation", sa.Column("user_id", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_revocation_user_id"), "revocation", ["user_id"], unique=False)
