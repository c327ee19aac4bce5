"""Registered limits, and limits of projects and domains."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.create_table(
        "registered_limit",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("service_id", sa.String(length=64), nullable=False),
        sa.Column("region_id", sa.String(length=255), nullable=True),
        sa.Column("resource_name", sa.String(length=255), nullable=False),
        sa.Column("default_limit", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registered_limit")),
    )
    op.create_index(
        op.f("ix_registered_limit_service_id"), "registered_limit", ["service_id"], unique=False
    )
    op.create_table(
        "unified_limit",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("service_id", sa.String(length=64), nullable=False),
        sa.Column("region_id", sa.String(length=255), nullable=True),
        sa.Column("resource_name", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=True),
        sa.Column("domain_id", sa.String(length=64), nullable=True),
        sa.Column("resource_limit", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unified_limit")),
    )
    op.create_index(
        op.f("ix_unified_limit_domain_id"), "unified_limit", ["domain_id"], unique=False
    )
    op.create_index(
        op.f("ix_unified_limit_project_id"), "unified_limit", ["project_id"], unique=False
    )
    op.create_index(
        op.f("ix_unified_limit_service_id"), "unified_limit", ["service_id"], unique=False
    )
