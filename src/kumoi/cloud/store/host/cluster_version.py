"""The release that the cloud as a whole is of: one row, which an operator's word sets.

Without a row the cloud was never finalized, and hosts of the release before are served.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.db import Timestamp

ONLY = "cloud"


@dataclass(frozen=True, slots=True)
class ClusterVersion:
    """`release` is such as "1.2.0"."""

    id: str
    release: str
    finalized_at: datetime


cluster_version = sa.Table(
    "cluster_version",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("release", sa.String(32), nullable=False),
    sa.Column("finalized_at", Timestamp, nullable=False),
)


def get(connection: Connection) -> ClusterVersion | None:
    return schema.fetch_one(connection, sa.select(cluster_version), ClusterVersion)


def replace(connection: Connection, row: ClusterVersion) -> None:
    connection.execute(sa.delete(cluster_version))
    schema.insert(connection, cluster_version, schema.values(row))
