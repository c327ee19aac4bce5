"""The credential that acts for each environment, which its push made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    is_own: sa.Column[bool] = sa.Column(
        "is_own", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column("delegation", is_own)
    op.create_table(
        "environment_delegation",
        sa.Column("environment_id", sa.String(36), nullable=False),
        sa.Column("repository_id", sa.String(36), nullable=False),
        sa.Column("credential_id", sa.String(64), nullable=False),
        sa.Column("secret", sa.String(255), nullable=False),
        sa.Column("made_at", Timestamp(), nullable=False),
        sa.Column("is_own", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("environment_id", name=op.f("pk_environment_delegation")),
    )
    for column in ("credential_id", "repository_id"):
        name = op.f(f"ix_environment_delegation_{column}")
        op.create_index(name, "environment_delegation", [column], unique=False)
