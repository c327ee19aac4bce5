"""What a server's disk was made from before its last rebuild, so that a refused one can be left."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("server", sa.Column("rebuilt_from", Json(), nullable=True))
