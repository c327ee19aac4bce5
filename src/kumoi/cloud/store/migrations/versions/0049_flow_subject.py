"""What is no more has its flows forgotten: they are found by what they are about."""

from __future__ import annotations

from alembic import op

revision = "0049"
down_revision = "0048"


def upgrade() -> None:
    op.create_index(op.f("ix_flow_subject"), "flow", ["subject"], unique=False)
