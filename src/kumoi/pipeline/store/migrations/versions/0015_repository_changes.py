"""How often each repository was changed, and on which control host last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    number = sa.Column("changes", sa.Integer(), server_default="0", nullable=False)
    host = sa.Column("changed_on", sa.String(64), server_default="", nullable=False)
    op.add_column("repository", number)
    op.add_column("repository", host)
