"""What the identity service only keeps: the configuration of domains, and policies of services."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.create_table(
        "domain_config",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("config", Json(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_domain_config")),
    )
    op.create_table(
        "policy",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("extra", Json(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy")),
    )
