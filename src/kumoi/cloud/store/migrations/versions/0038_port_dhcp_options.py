"""What DHCP answers a port besides."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    op.add_column("port", sa.Column("extra_dhcp_opts", Json(), server_default="[]", nullable=False))
