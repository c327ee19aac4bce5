"""L7 policies and rules, and what listeners and pools say of TLS."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "load_balancer_l7_policy",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("made_revision", sa.Integer(), nullable=False),
        sa.Column("changed_revision", sa.Integer(), nullable=False),
        sa.Column("listener_id", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("redirect_pool_id", sa.String(length=64), nullable=True),
        sa.Column("redirect_url", sa.String(length=255), nullable=True),
        sa.Column("redirect_prefix", sa.String(length=255), nullable=True),
        sa.Column("redirect_http_code", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["listener_id"],
            ["load_balancer_listener.id"],
            name=op.f("fk_load_balancer_l7_policy_listener_id"),
        ),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"],
            ["load_balancer.id"],
            name=op.f("fk_load_balancer_l7_policy_load_balancer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["redirect_pool_id"],
            ["load_balancer_pool.id"],
            name=op.f("fk_load_balancer_l7_policy_redirect_pool_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer_l7_policy")),
    )
    op.create_index(
        op.f("ix_load_balancer_l7_policy_listener_id"),
        "load_balancer_l7_policy",
        ["listener_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_load_balancer_l7_policy_load_balancer_id"),
        "load_balancer_l7_policy",
        ["load_balancer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_load_balancer_l7_policy_project_id"),
        "load_balancer_l7_policy",
        ["project_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_load_balancer_l7_policy_redirect_pool_id"),
        "load_balancer_l7_policy",
        ["redirect_pool_id"],
        unique=False,
    )
    op.create_table(
        "load_balancer_l7_rule",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("load_balancer_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("made_revision", sa.Integer(), nullable=False),
        sa.Column("changed_revision", sa.Integer(), nullable=False),
        sa.Column("l7policy_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("compare_type", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=True),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("invert", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["l7policy_id"],
            ["load_balancer_l7_policy.id"],
            name=op.f("fk_load_balancer_l7_rule_l7policy_id"),
        ),
        sa.ForeignKeyConstraint(
            ["load_balancer_id"],
            ["load_balancer.id"],
            name=op.f("fk_load_balancer_l7_rule_load_balancer_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_load_balancer_l7_rule")),
    )
    op.create_index(
        op.f("ix_load_balancer_l7_rule_l7policy_id"),
        "load_balancer_l7_rule",
        ["l7policy_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_load_balancer_l7_rule_load_balancer_id"),
        "load_balancer_l7_rule",
        ["load_balancer_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_load_balancer_l7_rule_project_id"),
        "load_balancer_l7_rule",
        ["project_id"],
        unique=False,
    )
    op.add_column(
        "load_balancer_listener", sa.Column("tls_ciphers", sa.String(length=2048), nullable=True)
    )
    op.add_column("load_balancer_listener", sa.Column("tls_versions", Json(), nullable=True))
    op.add_column("load_balancer_listener", sa.Column("alpn_protocols", Json(), nullable=True))
    op.add_column(
        "load_balancer_listener",
        sa.Column("default_tls_container_ref", sa.String(length=255), nullable=True),
    )
    op.add_column("load_balancer_listener", sa.Column("sni_container_refs", Json(), nullable=True))
    op.add_column(
        "load_balancer_listener",
        sa.Column("client_ca_tls_container_ref", sa.String(length=255), nullable=True),
    )
    op.add_column(
        "load_balancer_listener",
        sa.Column(
            "client_authentication", sa.String(length=16), server_default="NONE", nullable=False
        ),
    )
    op.add_column(
        "load_balancer_listener",
        sa.Column("client_crl_container_ref", sa.String(length=255), nullable=True),
    )
    op.add_column("load_balancer_listener", sa.Column("hsts_max_age", sa.Integer(), nullable=True))
    op.add_column(
        "load_balancer_listener",
        sa.Column(
            "hsts_include_subdomains", sa.Boolean(), server_default=sa.false(), nullable=False
        ),
    )
    op.add_column(
        "load_balancer_listener",
        sa.Column("hsts_preload", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column(
        "load_balancer_pool",
        sa.Column("tls_enabled", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column(
        "load_balancer_pool", sa.Column("tls_container_ref", sa.String(length=255), nullable=True)
    )
    op.add_column(
        "load_balancer_pool",
        sa.Column("ca_tls_container_ref", sa.String(length=255), nullable=True),
    )
    op.add_column(
        "load_balancer_pool", sa.Column("crl_container_ref", sa.String(length=255), nullable=True)
    )
    op.add_column(
        "load_balancer_pool", sa.Column("tls_ciphers", sa.String(length=2048), nullable=True)
    )
    op.add_column("load_balancer_pool", sa.Column("tls_versions", Json(), nullable=True))
    op.add_column("load_balancer_pool", sa.Column("alpn_protocols", Json(), nullable=True))
