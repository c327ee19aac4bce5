"""The tables of compute."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    _compute_quota()
    _flavor()
    _keypair()
    _server()
    _server_action()
    _server_console()
    _server_group()
    _server_snapshot()
    _flavor_access()


def _compute_quota() -> None:
    op.create_table(
        "compute_quota",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name=op.f("pk_compute_quota")),
    )


def _flavor() -> None:
    op.create_table(
        "flavor",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("ram_mib", sa.Integer(), nullable=False),
        sa.Column("disk_gib", sa.Integer(), nullable=False),
        sa.Column("ephemeral_gib", sa.Integer(), nullable=False),
        sa.Column("swap_mib", sa.Integer(), nullable=False),
        sa.Column("rxtx_factor", sa.Float(), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("extra_specs", Json(), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flavor")),
        sa.UniqueConstraint("name", name=op.f("uq_flavor_name")),
    )


def _keypair() -> None:
    op.create_table(
        "keypair",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=255), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "name", name=op.f("pk_keypair")),
        sa.UniqueConstraint("number", name=op.f("uq_keypair_number")),
    )


def _server() -> None:
    op.create_table(
        "server",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("hostname", sa.String(length=255), nullable=False),
        sa.Column("flavor_id", sa.String(length=255), nullable=False),
        sa.Column("flavor_name", sa.String(length=255), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("ram_mib", sa.Integer(), nullable=False),
        sa.Column("disk_gib", sa.Integer(), nullable=False),
        sa.Column("ephemeral_gib", sa.Integer(), nullable=False),
        sa.Column("swap_mib", sa.Integer(), nullable=False),
        sa.Column("extra_specs", Json(), nullable=False),
        sa.Column("image_id", sa.String(length=64), nullable=True),
        sa.Column("image", Json(), nullable=True),
        sa.Column("key_name", sa.String(length=255), nullable=True),
        sa.Column("ssh_keys", Json(), nullable=False),
        sa.Column("user_data", sa.Text(), nullable=True),
        sa.Column("metadata", Json(), nullable=False),
        sa.Column("tags", Json(), nullable=False),
        sa.Column("config_drive", sa.Boolean(), nullable=False),
        sa.Column("access_ipv4", sa.String(length=64), nullable=False),
        sa.Column("access_ipv6", sa.String(length=64), nullable=False),
        sa.Column("zone", sa.String(length=255), nullable=True),
        sa.Column("disk_config", sa.String(length=16), nullable=False),
        sa.Column("reservation_id", sa.String(length=32), nullable=False),
        sa.Column("launch_index", sa.Integer(), nullable=False),
        sa.Column("group_id", sa.String(length=64), nullable=True),
        sa.Column("locked_by", sa.String(length=16), nullable=False),
        sa.Column("locked_reason", sa.String(length=255), nullable=True),
        sa.Column("driver", sa.String(length=16), nullable=False),
        sa.Column("host_id", sa.String(length=64), nullable=True),
        sa.Column("id_slot", sa.Integer(), nullable=True),
        sa.Column("power", sa.String(length=16), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("boot", sa.Integer(), nullable=False),
        sa.Column("hard_boot", sa.Integer(), nullable=False),
        sa.Column("build", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("observed_generation", sa.Integer(), nullable=False),
        sa.Column("observed_boot", sa.Integer(), nullable=False),
        sa.Column("observed_hard_boot", sa.Integer(), nullable=False),
        sa.Column("observed_build", sa.Integer(), nullable=False),
        sa.Column("fault", sa.Text(), nullable=True),
        sa.Column("fault_at", Timestamp(), nullable=True),
        sa.Column("launched_at", Timestamp(), nullable=True),
        sa.Column("terminated_at", Timestamp(), nullable=True),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server")),
    )
    op.create_index("ix_server_created_at", "server", ["created_at"], unique=False)
    op.create_index(op.f("ix_server_group_id"), "server", ["group_id"], unique=False)
    op.create_index(op.f("ix_server_host_id"), "server", ["host_id"], unique=False)
    op.create_index(op.f("ix_server_image_id"), "server", ["image_id"], unique=False)
    op.create_index(
        "ix_server_project_id_deleted", "server", ["project_id", "deleted"], unique=False
    )


def _server_action() -> None:
    op.create_table(
        "server_action",
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("server_id", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("host_id", sa.String(length=64), nullable=True),
        sa.Column("start_at", Timestamp(), nullable=False),
        sa.Column("finish_at", Timestamp(), nullable=True),
        sa.Column("result", sa.String(length=16), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("request_id", "server_id", name=op.f("pk_server_action")),
    )
    op.create_index(
        "ix_server_action_server_id_start_at",
        "server_action",
        ["server_id", "start_at"],
        unique=False,
    )


def _server_console() -> None:
    op.create_table(
        "server_console",
        sa.Column("server_id", sa.String(length=64), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("server_id", name=op.f("pk_server_console")),
    )


def _server_group() -> None:
    op.create_table(
        "server_group",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("policy", sa.String(length=32), nullable=False),
        sa.Column("rules", Json(), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_group")),
    )
    op.create_index(
        op.f("ix_server_group_project_id"), "server_group", ["project_id"], unique=False
    )


def _server_snapshot() -> None:
    op.create_table(
        "server_snapshot",
        sa.Column("image_id", sa.String(length=64), nullable=False),
        sa.Column("server_id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_server_snapshot")),
    )
    op.create_index(
        op.f("ix_server_snapshot_server_id"), "server_snapshot", ["server_id"], unique=False
    )


def _flavor_access() -> None:
    op.create_table(
        "flavor_access",
        sa.Column("flavor_id", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["flavor_id"],
            ["flavor.id"],
            name=op.f("fk_flavor_access_flavor_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("flavor_id", "project_id", name=op.f("pk_flavor_access")),
    )
