"""Address groups, and rules of security groups that name them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    op.create_table(
        "address_group",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("addresses", Json(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_group")),
    )
    op.create_index(
        op.f("ix_address_group_project_id"), "address_group", ["project_id"], unique=False
    )
    op.add_column(
        "security_group_rule",
        sa.Column("remote_address_group_id", sa.String(length=64), nullable=True),
    )
    op.create_index(
        op.f("ix_security_group_rule_remote_address_group_id"),
        "security_group_rule",
        ["remote_address_group_id"],
        unique=False,
    )
