"""The binding profile of ports, which administrators set."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.add_column("port", sa.Column("profile", Json(), server_default="{}", nullable=False))
