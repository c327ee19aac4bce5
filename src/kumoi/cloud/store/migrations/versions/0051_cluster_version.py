"""The release that the cloud as a whole is of, as an operator finalized it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0051"
down_revision = "0050"


def upgrade() -> None:
    op.create_table(
        "cluster_version",
        sa.Column("id", sa.String(64), nullable=False, primary_key=True),
        sa.Column("release", sa.String(32), nullable=False),
        sa.Column("finalized_at", Timestamp(), nullable=False),
    )
