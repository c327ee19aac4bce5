"""Hosts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _host()


def _host() -> None:
    op.create_table(
        "host",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("uuid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String(length=255), nullable=False),
        sa.Column("forced_down", sa.Boolean(), nullable=False),
        sa.Column("version", sa.String(length=255), nullable=False),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("drivers", Json(), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("ram_mib", sa.Integer(), nullable=False),
        sa.Column("disk_gib", sa.Integer(), nullable=False),
        sa.Column("vcpus_claimed", sa.Integer(), nullable=False),
        sa.Column("ram_claimed_mib", sa.Integer(), nullable=False),
        sa.Column("disk_claimed_gib", sa.Integer(), nullable=False),
        sa.Column("servers_claimed", sa.Integer(), nullable=False),
        sa.Column("vcpus_free", sa.Integer(), nullable=False),
        sa.Column("ram_free_mib", sa.Integer(), nullable=False),
        sa.Column("disk_free_gib", sa.Integer(), nullable=False),
        sa.Column("ready_images", Json(), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("seen_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_host")),
        sa.UniqueConstraint("number", name=op.f("uq_host_number")),
        sa.UniqueConstraint("uuid", name=op.f("uq_host_uuid")),
    )
    op.create_index(op.f("ix_host_ram_free_mib"), "host", ["ram_free_mib"], unique=False)
