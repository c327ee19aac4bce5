"""Trusts: who may act for whom in a project."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.create_table(
        "trust",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("trustor_user_id", sa.String(length=64), nullable=False),
        sa.Column("trustee_user_id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("impersonation", sa.Boolean(), nullable=False),
        sa.Column("role_ids", Json(), nullable=False),
        sa.Column("expires_at", Timestamp(timezone=True), nullable=True),
        sa.Column("remaining_uses", sa.Integer(), nullable=True),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trust")),
    )
    op.create_index(op.f("ix_trust_project_id"), "trust", ["project_id"], unique=False)
    op.create_index(op.f("ix_trust_trustee_user_id"), "trust", ["trustee_user_id"], unique=False)
    op.create_index(op.f("ix_trust_trustor_user_id"), "trust", ["trustor_user_id"], unique=False)
