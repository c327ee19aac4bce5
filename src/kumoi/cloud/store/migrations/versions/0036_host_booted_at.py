"""When hosts were started."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.add_column("host", sa.Column("booted_at", Timestamp(timezone=True), nullable=True))
