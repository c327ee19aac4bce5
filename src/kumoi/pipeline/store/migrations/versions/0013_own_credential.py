"""The application credentials that the pipeline makes, written down before they are made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.schema import Timestamp

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "own_credential",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("secret", sa.String(length=255), nullable=False),
        sa.Column("credential_id", sa.String(length=64), nullable=True),
        sa.Column("look_at", Timestamp(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_own_credential")),
    )
    op.create_index(
        op.f("ix_own_credential_credential_id"), "own_credential", ["credential_id"], unique=False
    )
    op.create_index(op.f("ix_own_credential_look_at"), "own_credential", ["look_at"], unique=False)
