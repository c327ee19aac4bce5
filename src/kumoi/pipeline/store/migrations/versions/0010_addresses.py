"""The addresses of an environment, for its report."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("environment", sa.Column("addresses", Json(), nullable=True))
