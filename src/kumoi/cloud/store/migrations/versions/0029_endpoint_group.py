"""Groups of endpoints, and which endpoints a project's catalogue is held to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.create_table(
        "endpoint_filter",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("target_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "kind", "target_id", name=op.f("pk_endpoint_filter")),
    )
    op.create_index(
        op.f("ix_endpoint_filter_target_id"), "endpoint_filter", ["target_id"], unique=False
    )
    op.create_table(
        "endpoint_group",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("filters", Json(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint_group")),
    )
