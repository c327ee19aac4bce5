"""What users keep with their resources that has no column of its own, and the options of resources."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("domain", sa.Column("options", Json(), nullable=True))
    op.add_column("domain", sa.Column("extra", Json(), nullable=True))
    op.add_column("endpoint", sa.Column("extra", Json(), nullable=True))
    op.add_column("identity_group", sa.Column("extra", Json(), nullable=True))
    op.add_column("identity_user", sa.Column("options", Json(), nullable=True))
    op.add_column("identity_user", sa.Column("extra", Json(), nullable=True))
    op.add_column("project", sa.Column("options", Json(), nullable=True))
    op.add_column("project", sa.Column("extra", Json(), nullable=True))
    op.add_column("region", sa.Column("extra", Json(), nullable=True))
    op.add_column("role", sa.Column("domain_id", sa.String(length=64), nullable=True))
    op.add_column("role", sa.Column("options", Json(), nullable=True))
    op.add_column("role", sa.Column("extra", Json(), nullable=True))
    op.add_column("service", sa.Column("extra", Json(), nullable=True))
