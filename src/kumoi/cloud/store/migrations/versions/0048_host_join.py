"""Hosts that may join: their tokens' nonces, and the addresses that are reserved for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0048"
down_revision = "0047"


def upgrade() -> None:
    op.create_table(
        "host_join",
        sa.Column("host_id", sa.String(64), nullable=False, primary_key=True),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("expires_at", Timestamp(), nullable=False),
        sa.Column("public_key_sha256", sa.String(64), nullable=False),
        sa.Column("joined_at", Timestamp(), nullable=True),
    )
