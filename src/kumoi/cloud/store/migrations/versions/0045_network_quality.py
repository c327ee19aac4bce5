"""Quality of service, address scopes, and the rules that new security groups are made with."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from kumoi.base.ids import new_id
from kumoi.engine.db import Timestamp

revision = "0045"
down_revision = "0044"


def upgrade() -> None:
    op.create_table(
        "address_scope",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("ip_version", sa.Integer(), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_scope")),
    )
    op.create_index(
        op.f("ix_address_scope_project_id"), "address_scope", ["project_id"], unique=False
    )
    rules = op.create_table(
        "default_security_group_rule",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("ethertype", sa.String(length=8), nullable=False),
        sa.Column("protocol", sa.String(length=40), nullable=True),
        sa.Column("port_range_min", sa.Integer(), nullable=True),
        sa.Column("port_range_max", sa.Integer(), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=64), nullable=True),
        sa.Column("remote_group_id", sa.String(length=64), nullable=True),
        sa.Column("used_in_default_sg", sa.Boolean(), nullable=False),
        sa.Column("used_in_non_default_sg", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_default_security_group_rule")),
    )
    op.create_index(
        op.f("ix_default_security_group_rule_project_id"),
        "default_security_group_rule",
        ["project_id"],
        unique=False,
    )
    op.create_table(
        "qos_policy",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_policy")),
    )
    op.create_index(op.f("ix_qos_policy_project_id"), "qos_policy", ["project_id"], unique=False)
    op.create_table(
        "qos_rule",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("qos_policy_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=True),
        sa.Column("max_kbps", sa.Integer(), nullable=True),
        sa.Column("max_burst_kbps", sa.Integer(), nullable=True),
        sa.Column("dscp_mark", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["qos_policy_id"],
            ["qos_policy.id"],
            name=op.f("fk_qos_rule_qos_policy_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_rule")),
    )
    op.create_index(op.f("ix_qos_rule_qos_policy_id"), "qos_rule", ["qos_policy_id"], unique=False)
    op.add_column("network", sa.Column("qos_policy_id", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_network_qos_policy_id"), "network", ["qos_policy_id"], unique=False)
    op.add_column("port", sa.Column("qos_policy_id", sa.String(length=64), nullable=True))
    op.create_index(op.f("ix_port_qos_policy_id"), "port", ["qos_policy_id"], unique=False)
    op.add_column("subnet_pool", sa.Column("address_scope_id", sa.String(length=64), nullable=True))
    op.create_index(
        op.f("ix_subnet_pool_address_scope_id"), "subnet_pool", ["address_scope_id"], unique=False
    )
    op.bulk_insert(rules, _first_rules())


def _first_rules() -> list[dict[str, object]]:
    """Those that groups were made with until now: all may leave, and default groups let in what comes from their
    own ports.
    """
    made_at = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        {
            "id": new_id(),
            "project_id": "",
            "description": description,
            "created_at": made_at,
            "updated_at": made_at,
            "revision_number": 0,
            "direction": direction,
            "ethertype": ethertype,
            "remote_group_id": remote,
            "used_in_default_sg": True,
            "used_in_non_default_sg": remote is None,
        }
        for direction, remote, description in (
            ("egress", None, "Legacy default SG rule for egress traffic"),
            ("ingress", "PARENT", "Legacy default SG rule for ingress traffic"),
        )
        for ethertype in ("IPv4", "IPv6")
    ]
