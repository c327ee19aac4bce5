"""What the proxies of a station counted, by listener."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.add_column(
        "load_balancer_station", sa.Column("counters", Json(), server_default="{}", nullable=False)
    )
