"""Metadata definitions: namespaces, what is in them, and the types of resources that they are for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json, Timestamp

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.create_table(
        "metadef_namespace",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("namespace", sa.String(length=255), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("display_name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metadef_namespace")),
        sa.UniqueConstraint("namespace", name=op.f("uq_metadef_namespace_namespace")),
    )
    op.create_index(
        op.f("ix_metadef_namespace_owner"), "metadef_namespace", ["owner"], unique=False
    )
    op.create_table(
        "metadef_association",
        sa.Column("namespace_id", sa.String(length=64), nullable=False),
        sa.Column("resource_type", sa.String(length=255), nullable=False),
        sa.Column("prefix", sa.String(length=255), nullable=True),
        sa.Column("properties_target", sa.String(length=255), nullable=True),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace_id"],
            ["metadef_namespace.id"],
            name=op.f("fk_metadef_association_namespace_id"),
        ),
        sa.PrimaryKeyConstraint(
            "namespace_id", "resource_type", name=op.f("pk_metadef_association")
        ),
    )
    op.create_table(
        "metadef_item",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("namespace_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("body", Json(), nullable=False),
        sa.Column("created_at", Timestamp(timezone=True), nullable=False),
        sa.Column("updated_at", Timestamp(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["namespace_id"], ["metadef_namespace.id"], name=op.f("fk_metadef_item_namespace_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metadef_item")),
        sa.UniqueConstraint(
            "namespace_id", "kind", "name", name=op.f("uq_metadef_item_namespace_id_kind_name")
        ),
    )
