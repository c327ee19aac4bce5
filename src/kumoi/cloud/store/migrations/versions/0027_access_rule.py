"""Access rules, and which of them an application credential has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.create_table(
        "access_rule",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("service", sa.String(length=255), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=False),
        sa.Column("path", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_rule")),
    )
    op.create_index(op.f("ix_access_rule_user_id"), "access_rule", ["user_id"], unique=False)
    op.add_column("application_credential", sa.Column("access_rule_ids", Json(), nullable=True))
