"""Keys and certificates of listeners and pools, sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    op.create_table(
        "load_balancer_tls_material",
        sa.Column("part_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"],
            ["load_balancer.id"],
            name=op.f("fk_load_balancer_tls_material_load_balancer_id"),
        ),
        sa.PrimaryKeyConstraint("part_id", "name", name=op.f("pk_load_balancer_tls_material")),
    )
    op.create_index(
        op.f("ix_load_balancer_tls_material_load_balancer_id"),
        "load_balancer_tls_material",
        ["load_balancer_id"],
        unique=False,
    )
