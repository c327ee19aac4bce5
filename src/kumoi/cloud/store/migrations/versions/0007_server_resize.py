"""A server's flavor before a resize that is not confirmed yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("server", sa.Column("resized_from", Json(), nullable=True))
