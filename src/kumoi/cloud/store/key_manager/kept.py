"""What secrets and containers have in common as rows. Called by the noun files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID
from kumoi.engine.db import Json, Timestamp


class Kept(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def project_id(self) -> str: ...
    @property
    def creator_id(self) -> str: ...
    @property
    def acl(self) -> dict[str, Any] | None: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...


Row = TypeVar("Row", bound=Kept)


@dataclass(frozen=True, slots=True)
class KeptPage(Generic[Row]):
    """A page of a list, and how many there are in all."""

    rows: list[Row]
    total: int


class KeptTable(Generic[Row]):
    def __init__(self, table: sa.Table, noun: type[Row]) -> None:
        self._table = table
        self._noun = noun

    def insert(self, connection: Connection, row: Row) -> None:
        schema.insert(connection, self._table, schema.values(row))

    def get(self, connection: Connection, key: str) -> Row | None:
        return schema.get(connection, self._table, self._noun, key)

    def page(
        self, connection: Connection, filters: Mapping[str, str], *, limit: int, offset: int
    ) -> KeptPage[Row]:
        """Oldest first. `filters` are values that columns have."""
        conditions = [self._table.c[name] == value for name, value in filters.items()]
        counted = sa.select(sa.func.count()).select_from(self._table).where(*conditions)
        query = (
            sa.select(self._table)
            .where(*conditions)
            .order_by(self._table.c.created_at, self._table.c.id)
            .limit(limit)
            .offset(offset)
        )
        rows = schema.fetch(connection, query, self._noun)
        return KeptPage(rows, int(connection.execute(counted).scalar_one()))

    def update(self, connection: Connection, key: str, values: Mapping[str, Any]) -> None:
        schema.update(connection, self._table, key, values)

    def delete(self, connection: Connection, key: str) -> None:
        schema.delete(connection, self._table, key)

    def count(self, connection: Connection, project_id: str) -> int:
        return self.page(connection, {"project_id": project_id}, limit=0, offset=0).total


def columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("id", ID, primary_key=True),
        sa.Column("project_id", ID, nullable=False, index=True),
        sa.Column("creator_id", ID, nullable=False),
        sa.Column("name", sa.String(255)),
        sa.Column("acl", Json),
        sa.Column("created_at", Timestamp, nullable=False),
        sa.Column("updated_at", Timestamp, nullable=False),
    ]
