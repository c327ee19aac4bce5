"""How much of each host servers may claim, as the host says; empty before it has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("host", sa.Column("allocation", Json(), nullable=False, server_default="{}"))
