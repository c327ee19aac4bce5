"""Port forwardings of floating IPs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    op.create_table(
        "port_forwarding",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("floating_ip_id", sa.String(length=64), nullable=False),
        sa.Column("protocol", sa.String(length=8), nullable=False),
        sa.Column("external_port", sa.Integer(), nullable=False),
        sa.Column("internal_port_id", sa.String(length=64), nullable=False),
        sa.Column("internal_ip_address", sa.String(length=45), nullable=False),
        sa.Column("internal_port", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["floating_ip_id"],
            ["floating_ip.id"],
            name=op.f("fk_port_forwarding_floating_ip_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["internal_port_id"],
            ["port.id"],
            name=op.f("fk_port_forwarding_internal_port_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_port_forwarding")),
        sa.UniqueConstraint(
            "floating_ip_id",
            "protocol",
            "external_port",
            name=op.f("uq_port_forwarding_floating_ip_id_protocol_external_port"),
        ),
    )
    op.create_index(
        op.f("ix_port_forwarding_internal_port_id"),
        "port_forwarding",
        ["internal_port_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_port_forwarding_project_id"), "port_forwarding", ["project_id"], unique=False
    )
