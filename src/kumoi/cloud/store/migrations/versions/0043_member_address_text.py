"""How the addresses of a member were written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    for name in ("address_text", "monitor_address_text"):
        op.add_column("load_balancer_member", sa.Column(name, sa.String(length=64), nullable=True))
