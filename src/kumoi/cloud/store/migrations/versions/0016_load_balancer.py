"""The tables of the load balancer service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    _load_balancer_quota()
    _load_balancer()
    _load_balancer_pool()
    _load_balancer_health_monitor()
    _load_balancer_listener()
    _load_balancer_member()


def _load_balancer_quota() -> None:
    op.create_table(
        "load_balancer_quota",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name=op.f("pk_load_balancer_quota")),
    )


def _load_balancer() -> None:
    op.create_table(
        "load_balancer",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("vip_address", sa.String(length=45), nullable=False),
        sa.Column("vip_network_id", sa.String(length=64), nullable=False),
        sa.Column("vip_subnet_id", sa.String(length=64), nullable=False),
        sa.Column("vip_port_id", sa.String(length=64), nullable=False),
        sa.Column("owns_vip_port", sa.Boolean(), nullable=False),
        sa.Column("applied_revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["vip_network_id"], ["network.id"], name=op.f("fk_load_balancer_vip_network_id")
        ),
        sa.ForeignKeyConstraint(
            ["vip_port_id"], ["port.id"], name=op.f("fk_load_balancer_vip_port_id")
        ),
        sa.ForeignKeyConstraint(
            ["vip_subnet_id"], ["subnet.id"], name=op.f("fk_load_balancer_vip_subnet_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer")),
        sa.UniqueConstraint("vip_port_id", name=op.f("uq_load_balancer_vip_port_id")),
    )
    op.create_index(
        op.f("ix_load_balancer_project_id"), "load_balancer", ["project_id"], unique=False
    )


def _load_balancer_pool() -> None:
    op.create_table(
        "load_balancer_pool",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("made_revision", sa.Integer(), nullable=False),
        sa.Column("changed_revision", sa.Integer(), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=False),
        sa.Column("lb_algorithm", sa.String(length=32), nullable=False),
        sa.Column("session_persistence", Json(), nullable=True),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"],
            ["load_balancer.id"],
            name=op.f("fk_load_balancer_pool_load_balancer_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer_pool")),
    )
    op.create_index(
        op.f("ix_load_balancer_pool_load_balancer_id"),
        "load_balancer_pool",
        ["load_balancer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_load_balancer_pool_project_id"), "load_balancer_pool", ["project_id"], unique=False
    )


def _load_balancer_health_monitor() -> None:
    op.create_table(
        "load_balancer_health_monitor",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("made_revision", sa.Integer(), nullable=False),
        sa.Column("changed_revision", sa.Integer(), nullable=False),
        sa.Column("pool_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("delay", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=False),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("max_retries_down", sa.Integer(), nullable=False),
        sa.Column("http_method", sa.String(length=16), nullable=True),
        sa.Column("url_path", sa.String(length=255), nullable=True),
        sa.Column("expected_codes", sa.String(length=64), nullable=True),
        sa.Column("http_version", sa.Float(), nullable=True),
        sa.Column("domain_name", sa.String(length=255), nullable=True),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"],
            ["load_balancer.id"],
            name=op.f("fk_load_balancer_health_monitor_load_balancer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["pool_id"],
            ["load_balancer_pool.id"],
            name=op.f("fk_load_balancer_health_monitor_pool_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer_health_monitor")),
        sa.UniqueConstraint("pool_id", name=op.f("uq_load_balancer_health_monitor_pool_id")),
    )
    op.create_index(
        op.f("ix_load_balancer_health_monitor_load_balancer_id"),
        "load_balancer_health_monitor",
        ["load_balancer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_load_balancer_health_monitor_project_id"),
        "load_balancer_health_monitor",
        ["project_id"],
        unique=False,
    )


def _load_balancer_listener() -> None:
    op.create_table(
        "load_balancer_listener",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("made_revision", sa.Integer(), nullable=False),
        sa.Column("changed_revision", sa.Integer(), nullable=False),
        sa.Column("protocol", sa.String(length=16), nullable=False),
        sa.Column("protocol_port", sa.Integer(), nullable=False),
        sa.Column("connection_limit", sa.Integer(), nullable=False),
        sa.Column("default_pool_id", sa.String(length=64), nullable=True),
        sa.Column("insert_headers", Json(), nullable=False),
        sa.Column("allowed_cidrs", Json(), nullable=False),
        sa.Column("timeout_client_data", sa.Integer(), nullable=False),
        sa.Column("timeout_member_connect", sa.Integer(), nullable=False),
        sa.Column("timeout_member_data", sa.Integer(), nullable=False),
        sa.Column("timeout_tcp_inspect", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["default_pool_id"],
            ["load_balancer_pool.id"],
            name=op.f("fk_load_balancer_listener_default_pool_id"),
        ),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"],
            ["load_balancer.id"],
            name=op.f("fk_load_balancer_listener_load_balancer_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer_listener")),
    )
    op.create_index(
        op.f("ix_load_balancer_listener_default_pool_id"),
        "load_balancer_listener",
        ["default_pool_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_load_balancer_listener_load_balancer_id"),
        "load_balancer_listener",
        ["load_balancer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_load_balancer_listener_project_id"),
        "load_balancer_listener",
        ["project_id"],
        unique=False,
    )


def _load_balancer_member() -> None:
    op.create_table(
        "load_balancer_member",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("made_revision", sa.Integer(), nullable=False),
        sa.Column("changed_revision", sa.Integer(), nullable=False),
        sa.Column("pool_id", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("protocol_port", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("backup", sa.Boolean(), nullable=False),
        sa.Column("subnet_id", sa.String(length=64), nullable=True),
        sa.Column("monitor_address", sa.String(length=45), nullable=True),
        sa.Column("monitor_port", sa.Integer(), nullable=True),
        sa.Column("health", sa.String(length=16), nullable=True),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"],
            ["load_balancer.id"],
            name=op.f("fk_load_balancer_member_load_balancer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["pool_id"], ["load_balancer_pool.id"], name=op.f("fk_load_balancer_member_pool_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer_member")),
        sa.UniqueConstraint(
            "pool_id",
            "address",
            "protocol_port",
            name=op.f("uq_load_balancer_member_pool_id_address_protocol_port"),
        ),
    )
    op.create_index(
        op.f("ix_load_balancer_member_load_balancer_id"),
        "load_balancer_member",
        ["load_balancer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_load_balancer_member_project_id"),
        "load_balancer_member",
        ["project_id"],
        unique=False,
    )
