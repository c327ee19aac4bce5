"""Names and domains that networks, ports and floating IPs are to have in DNS."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    for table, column in (
        ("floating_ip", "dns_name"),
        ("floating_ip", "dns_domain"),
        ("network", "dns_domain"),
        ("port", "dns_name"),
    ):
        op.add_column(
            table, sa.Column(column, sa.String(length=255), server_default="", nullable=False)
        )
