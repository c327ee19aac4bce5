"""Secrets and containers of the key manager."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.create_table(
        "key_manager_container",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("creator_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("acl", Json(), nullable=True),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("secrets", Json(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_manager_container")),
    )
    op.create_index(
        op.f("ix_key_manager_container_project_id"),
        "key_manager_container",
        ["project_id"],
        unique=False,
    )
    op.create_table(
        "key_manager_secret",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("creator_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("acl", Json(), nullable=True),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.Column("secret_type", sa.String(length=32), nullable=False),
        sa.Column("algorithm", sa.String(length=255), nullable=True),
        sa.Column("bit_length", sa.Integer(), nullable=True),
        sa.Column("mode", sa.String(length=255), nullable=True),
        sa.Column("expires_at", Timestamp(timezone=True), nullable=True),
        sa.Column("content_type", sa.String(length=64), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_manager_secret")),
    )
    op.create_index(
        op.f("ix_key_manager_secret_project_id"), "key_manager_secret", ["project_id"], unique=False
    )
