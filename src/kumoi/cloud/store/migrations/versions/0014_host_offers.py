"""What each of a host's drivers takes and can do, as the host says; empty before it has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("host", sa.Column("offers", Json(), nullable=False, server_default="{}"))
