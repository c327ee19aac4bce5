"""Containers: the rows. A container says which secrets belong together, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kumoi.cloud.store.key_manager import kept
from kumoi.cloud.store.key_manager.kept import KeptTable
from kumoi.cloud.store.schema import metadata
from kumoi.engine.db import Json


@dataclass(frozen=True, slots=True)
class SecretContainer:
    """`secrets` are the secrets' ids by what they are in it."""

    id: str
    project_id: str
    creator_id: str
    name: str | None
    acl: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    type: str
    secrets: dict[str, str]


container = sa.Table(
    "key_manager_container",
    metadata,
    *kept.columns(),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("secrets", Json, nullable=False),
)

TABLE = KeptTable(container, SecretContainer)
get = TABLE.get
