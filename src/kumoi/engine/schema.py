"""The engine's own tables: feed and leases. A store copies them into its own metadata."""

from __future__ import annotations

import sqlalchemy as sa

from kumoi.engine.db import Json, Timestamp

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

feed_revision = sa.Table(
    "feed_revision", metadata, sa.Column("value", sa.BigInteger, nullable=False)
)

feed = sa.Table(
    "feed",
    metadata,
    sa.Column("topic", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False, index=True),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("token", sa.String(36), nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False),
)

__all__ = ["Json", "Timestamp", "feed", "feed_revision", "lease", "metadata"]
