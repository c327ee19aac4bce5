"""Whether the external network is on a host's machine."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0054"


def upgrade() -> None:
    op.add_column(
        "host", sa.Column("leads_outside", sa.Boolean(), server_default=sa.true(), nullable=False)
    )
