"""Which key speaks for a host."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "host_enrolment",
        sa.Column("host_id", sa.String(64), nullable=False, primary_key=True),
        sa.Column("public_key_sha256", sa.String(64), nullable=False),
        sa.Column("enrolled_at", Timestamp(), nullable=False),
    )
