"""Flavors and availability zones of load balancers, their profiles, and what a balancer was made with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    op.create_table(
        "load_balancer_choice_profile",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("provider_name", sa.String(length=255), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer_choice_profile")),
    )
    op.create_table(
        "load_balancer_choice",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("profile_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["profile_id"],
            ["load_balancer_choice_profile.id"],
            name=op.f("fk_load_balancer_choice_profile_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer_choice")),
        sa.UniqueConstraint("kind", "name", name=op.f("uq_load_balancer_choice_kind_name")),
    )
    op.create_index(
        op.f("ix_load_balancer_choice_profile_id"),
        "load_balancer_choice",
        ["profile_id"],
        unique=False,
    )
    op.add_column("load_balancer", sa.Column("flavor_id", sa.String(length=64), nullable=True))
    op.add_column(
        "load_balancer", sa.Column("availability_zone", sa.String(length=255), nullable=True)
    )
    op.add_column("load_balancer", sa.Column("stations_max", sa.Integer(), nullable=True))
