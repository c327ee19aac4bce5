"""The metadata that every table of the pipeline's store joins.

The engine's tables stand beside ours, so that a flow and the row it is about move in one
transaction. Each noun's file has its table, a frozen dataclass of the same field names, and plain
functions that take the open transaction. Nothing outside this folder writes SQL.
"""

from __future__ import annotations

from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine import schema as engine_schema

metadata = sa.MetaData(naming_convention=engine_schema.metadata.naming_convention)
for _table in (engine_schema.audit, engine_schema.flow, engine_schema.lease):
    _table.to_metadata(metadata)

Noun = TypeVar("Noun")

ID = sa.String(36)
NAME = sa.String(255)


def fetch(connection: Connection, query: sa.Select[Any], noun: type[Noun]) -> list[Noun]:
    """Each row as a `noun`, whose fields are the row's columns."""
    return [noun(**row) for row in connection.execute(query).mappings()]


def fetch_one(connection: Connection, query: sa.Select[Any], noun: type[Noun]) -> Noun | None:
    row = connection.execute(query).mappings().first()
    return None if row is None else noun(**row)
