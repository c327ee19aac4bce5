"""Roles that projects inherit, and roles that imply others. Without foreign keys: the release before deletes
roles and does not know these tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.create_table(
        "implied_role",
        sa.Column("prior_role_id", sa.String(length=64), nullable=False),
        sa.Column("implied_role_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("prior_role_id", "implied_role_id", name=op.f("pk_implied_role")),
    )
    op.create_index(
        op.f("ix_implied_role_implied_role_id"), "implied_role", ["implied_role_id"], unique=False
    )
    op.create_table(
        "inherited_role_assignment",
        sa.Column("actor", sa.String(length=8), nullable=False),
        sa.Column("actor_id", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=8), nullable=False),
        sa.Column("target_id", sa.String(length=64), nullable=False),
        sa.Column("role_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint(
            "actor",
            "actor_id",
            "target",
            "target_id",
            "role_id",
            name=op.f("pk_inherited_role_assignment"),
        ),
    )
    op.create_index(
        op.f("ix_inherited_role_assignment_role_id"),
        "inherited_role_assignment",
        ["role_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_inherited_role_assignment_target_id"),
        "inherited_role_assignment",
        ["target_id"],
        unique=False,
    )
