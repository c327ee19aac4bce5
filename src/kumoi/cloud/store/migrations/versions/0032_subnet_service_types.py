"""Subnets whose addresses are for ports of certain owners."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kumoi.engine.db import Json

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.add_column("subnet", sa.Column("service_types", Json(), server_default="[]", nullable=False))
