"""Secrets: the rows. What a secret is stays sealed; see seal.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kumoi.cloud.store.key_manager import kept
from kumoi.cloud.store.key_manager.kept import KeptTable
from kumoi.cloud.store.schema import metadata
from kumoi.engine.db import Timestamp


@dataclass(frozen=True, slots=True)
class KeptSecret:
    """`content_type` and `sealed` are None of one that was announced and not given yet. `acl` is what
    the API says of who may read it, or None.
    """

    id: str
    project_id: str
    creator_id: str
    name: str | None
    acl: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    secret_type: str
    algorithm: str | None
    bit_length: int | None
    mode: str | None
    expires_at: datetime | None
    content_type: str | None
    sealed: bytes | None


secret = sa.Table(
    "key_manager_secret",
    metadata,
    *kept.columns(),
    sa.Column("secret_type", sa.String(32), nullable=False),
    sa.Column("algorithm", sa.String(255)),
    sa.Column("bit_length", sa.Integer),
    sa.Column("mode", sa.String(255)),
    sa.Column("expires_at", Timestamp),
    sa.Column("content_type", sa.String(64)),
    sa.Column("sealed", sa.LargeBinary),
)

TABLE = KeptTable(secret, KeptSecret)
get = TABLE.get
update = TABLE.update
