"""The script of each release that began a run, and which one a runner has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "script",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_script")),
    )
    script = sa.Column("script", sa.String(64), nullable=False, server_default="")
    op.add_column("runner", script)
