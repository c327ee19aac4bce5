"""Since when a push is under way whose answer nobody has heard yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Timestamp

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("repository", sa.Column("push_begun_at", Timestamp(), nullable=True))
