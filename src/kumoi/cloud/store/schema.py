"""The metadata that every table of the cloud's store joins, and the one way rows become nouns.

Each noun's file under store/ has its table, a frozen dataclass of the same field names, and plain
functions that take the open transaction. Nothing outside store/ writes SQL.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine import schema as engine_schema

metadata = sa.MetaData(naming_convention=engine_schema.metadata.naming_convention)
for _table in engine_schema.metadata.sorted_tables:
    _table.to_metadata(metadata)

Noun = TypeVar("Noun")

ID = sa.String(64)
NAME = sa.String(255)
AMONG_MAX = 5_000  # Databases bound the parameters of one statement.


def fetch(connection: Connection, query: sa.Select[Any], noun: type[Noun]) -> list[Noun]:
    """Each row as a `noun`, whose fields are the row's columns."""
    rows = connection.execute(query)
    names = tuple(rows.keys())
    return [noun(**dict(zip(names, row, strict=True))) for row in rows]


def fetch_one(connection: Connection, query: sa.Select[Any], noun: type[Noun]) -> Noun | None:
    row = connection.execute(query).mappings().first()
    return None if row is None else noun(**row)


def among(
    connection: Connection, query: sa.Select[Any], column: sa.Column[Any], keys: Collection[Any]
) -> Iterator[sa.RowMapping]:
    """The query's rows whose `column` is one of `keys`, however many they are. In the query's order
    as long as there are at most AMONG_MAX keys.
    """
    listed = list(keys)
    for start in range(0, len(listed), AMONG_MAX):
        some = listed[start : start + AMONG_MAX]
        yield from connection.execute(query.where(column.in_(some))).mappings()


def fetch_among(
    connection: Connection,
    query: sa.Select[Any],
    column: sa.Column[Any],
    keys: Collection[Any],
    noun: type[Noun],
) -> list[Noun]:
    """As `among`, each row as a noun."""
    listed = list(keys)
    found: list[Noun] = []
    for start in range(0, len(listed), AMONG_MAX):
        found += fetch(connection, query.where(column.in_(listed[start : start + AMONG_MAX])), noun)
    return found


def insert(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    connection.execute(sa.insert(table), dict(row))


def insert_all(connection: Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Many rows with the same columns; none is fine."""
    listed = [dict(row) for row in rows]
    if listed:
        connection.execute(sa.insert(table), listed)


def update(connection: Connection, table: sa.Table, key: str, values: Mapping[str, Any]) -> bool:
    """Change the row whose `id` is `key`; whether there was one. No values is no change."""
    if not values:
        return True
    done = connection.execute(sa.update(table).where(table.c.id == key).values(**values))
    return done.rowcount == 1


def delete(connection: Connection, table: sa.Table, key: str) -> bool:
    """Delete the row whose `id` is `key`; whether there was one."""
    return connection.execute(sa.delete(table).where(table.c.id == key)).rowcount == 1
