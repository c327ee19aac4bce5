"""Environments that several runs share, with their names, keys and owners."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("run", sa.Column("environment_id", sa.String(36), nullable=True))
    op.create_index(op.f("ix_run_environment_id"), "run", ["environment_id"], unique=False)
    op.add_column("run", _text("owner"))
    op.add_column("environment", _text("name"))
    op.add_column("environment", sa.Column("current_run_id", sa.String(36), nullable=True))
    op.add_column("delegation", _text("user_name"))
    op.create_table(
        "environment_key",
        sa.Column("environment_id", sa.String(36), nullable=False),
        sa.Column("private_key", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("environment_id", name=op.f("pk_environment_key")),
    )
    op.create_table(
        "retired_delegation",
        sa.Column("credential_id", sa.String(64), nullable=False),
        sa.Column("environment_id", sa.String(36), nullable=False),
        sa.Column("secret", sa.String(255), nullable=False),
        sa.Column("is_own", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("credential_id", name=op.f("pk_retired_delegation")),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(255), nullable=False, server_default="")
