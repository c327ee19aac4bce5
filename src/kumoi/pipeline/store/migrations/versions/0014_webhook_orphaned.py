"""Since when nobody may act for a webhook, as when its project is gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.schema import Timestamp

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("webhook", sa.Column("orphaned_at", Timestamp(timezone=True), nullable=True))
