"""When users set their passwords and logged in, and the passwords that they had."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    op.create_table(
        "password_history",
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("ended_at", Timestamp(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "password_hash", name=op.f("pk_password_history")),
    )
    op.add_column(
        "identity_user", sa.Column("password_set_at", Timestamp(timezone=True), nullable=True)
    )
    op.add_column(
        "identity_user", sa.Column("password_expires_at", Timestamp(timezone=True), nullable=True)
    )
    op.add_column("identity_user", sa.Column("password_is_own", sa.Boolean(), nullable=True))
    op.add_column("identity_user", sa.Column("failed_logins", sa.Integer(), nullable=True))
    op.add_column(
        "identity_user", sa.Column("failed_login_at", Timestamp(timezone=True), nullable=True)
    )
    op.add_column("identity_user", sa.Column("active_at", Timestamp(timezone=True), nullable=True))
