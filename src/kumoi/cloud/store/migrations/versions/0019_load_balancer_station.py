"""The places of balancers on hosts, and a number of its own for each of a balancer's listeners."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "load_balancer_station",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=64), nullable=False),
        sa.Column("host_id", sa.String(length=64), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("observed_generation", sa.Integer(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"],
            ["load_balancer.id"],
            name=op.f("fk_load_balancer_station_load_balancer_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer_station")),
        sa.UniqueConstraint(
            "load_balancer_id",
            "host_id",
            name=op.f("uq_load_balancer_station_load_balancer_id_host_id"),
        ),
        sa.UniqueConstraint(
            "load_balancer_id", "slot", name=op.f("uq_load_balancer_station_load_balancer_id_slot")
        ),
    )
    op.create_index(
        op.f("ix_load_balancer_station_host_id"), "load_balancer_station", ["host_id"], unique=False
    )
    op.create_index(
        op.f("ix_load_balancer_station_load_balancer_id"),
        "load_balancer_station",
        ["load_balancer_id"],
        unique=False,
    )
    op.add_column(
        "load_balancer_listener",
        sa.Column("number", sa.Integer(), server_default="0", nullable=False),
    )
