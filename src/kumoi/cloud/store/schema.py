"""The metadata that every table of the cloud's store joins, and the one way rows become nouns.

Each noun's file under store/ has its table, a frozen dataclass of the same field names, and plain
functions that take the open transaction. Nothing outside store/ writes SQL.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from operator import itemgetter
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine import schema as engine_schema
from kumoi.engine.memo import BoundedMap
from kumoi.engine.statement import KEYS_MAX, KeyedStatement, Statement

metadata = sa.MetaData(naming_convention=engine_schema.metadata.naming_convention)
for _table in engine_schema.metadata.sorted_tables:
    _table.to_metadata(metadata)

Noun = TypeVar("Noun")

ID = sa.String(64)
NAME = sa.String(255)


@dataclass(frozen=True, slots=True)
class Where:
    """A condition that is built once. `build` makes it with a `sa.bindparam` for each of `values`;
    `name` tells it from the other conditions on the same table.
    """

    name: str
    build: Callable[[], sa.ColumnElement[bool]]
    values: Mapping[str, Any] = field(default_factory=dict)


class _Maker(Generic[Noun]):
    """Makes a `noun` of each row, its fields the columns."""

    def __init__(self, query: sa.Select[Any], noun: type[Noun]) -> None:
        self._noun = noun
        self._names = tuple(str(column.key) for column in query.selected_columns)
        names = list(getattr(noun, "__dataclass_fields__", ()))
        whole = len(names) > 1 and set(names) == set(self._names)
        self._ordered = itemgetter(*(self._names.index(name) for name in names)) if whole else None

    def noun(self, row: tuple[Any, ...]) -> Noun:
        if self._ordered is not None:
            return self._noun(*self._ordered(row))
        return self._noun(**dict(zip(self._names, row, strict=True)))


class Nouns(Generic[Noun]):
    """A query that is compiled once, each of whose rows is a `noun`. With `known`, a row that has not
    changed is the same object as before; see engine/memo.py. Queries of the same columns may share
    it.
    """

    def __init__(
        self,
        query: sa.Select[Any],
        noun: type[Noun],
        known: BoundedMap[tuple[Any, ...], Noun] | None = None,
    ) -> None:
        self._statement = Statement(query)
        self._noun = _Maker(query, noun).noun
        self._known = known

    def all(self, connection: Connection, **values: Any) -> list[Noun]:
        if self._known is not None:
            return self._statement.nouns(connection, values, self._noun, self._known)
        return [self._noun(row) for row in self._statement.rows(connection, **values)]

    def one(self, connection: Connection, **values: Any) -> Noun | None:
        found = self.all(connection, **values)
        return found[0] if found else None


class NounsAmong(Generic[Noun]):
    """As Nouns, for the rows whose `column` is one of some keys; see KeyedStatement."""

    def __init__(self, query: sa.Select[Any], column: sa.Column[Any], noun: type[Noun]) -> None:
        self._statement = KeyedStatement(query, column)
        self._noun = _Maker(query, noun).noun

    def all(self, connection: Connection, keys: Collection[Any], **values: Any) -> list[Noun]:
        return [self._noun(row) for row in self._statement.rows(connection, keys, **values)]


@functools.cache
def _having(
    table: sa.Table, noun: Any, names: tuple[str, ...], nothing: frozenset[str]
) -> Nouns[Any]:
    """Rows whose columns of these names have the values given, or none for those in `nothing`."""
    conditions = [
        table.c[name].is_(None) if name in nothing else table.c[name] == sa.bindparam(name)
        for name in names
    ]
    order = [table.c[name] for name in ("created_at", "id") if name in table.c]
    return Nouns(sa.select(table).where(*conditions).order_by(*order), noun)


def find(
    connection: Connection, table: sa.Table, noun: Callable[..., Noun], **values: Any
) -> list[Noun]:
    """Rows whose columns have these values, oldest first where the table has `created_at`."""
    nothing = frozenset(name for name, value in values.items() if value is None)
    parameters = {name: value for name, value in values.items() if value is not None}
    return _having(table, noun, tuple(values), nothing).all(connection, **parameters)


def get(
    connection: Connection, table: sa.Table, noun: Callable[..., Noun], key: str
) -> Noun | None:
    """The row whose `id` is `key`."""
    nouns: Nouns[Noun] = _having(table, noun, ("id",), frozenset())
    return nouns.one(connection, id=key)


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
    as long as there are at most KEYS_MAX keys.
    """
    listed = list(keys)
    for start in range(0, len(listed), KEYS_MAX):
        some = listed[start : start + KEYS_MAX]
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
    for start in range(0, len(listed), KEYS_MAX):
        found += fetch(connection, query.where(column.in_(listed[start : start + KEYS_MAX])), noun)
    return found


def values(noun: Any) -> dict[str, Any]:
    """A noun's fields by name, as they are. `dataclasses.asdict` copies each, however deep."""
    kind: Any = type(noun)
    return {name: getattr(noun, name) for name in _fields(kind)}


@functools.cache
def _fields(noun: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(noun))


def insert(connection: Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    _insert(table, tuple(row)).run(connection, row)


def insert_all(connection: Connection, table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Many rows with the same columns; none is fine."""
    listed = list(rows)
    if len(listed) == 1:
        insert(connection, table, listed[0])
    elif listed:
        _insert(table, tuple(listed[0])).run_all(connection, listed)


def update(
    connection: Connection,
    table: sa.Table,
    key: str,
    values: Mapping[str, Any],
    *,
    counted: str = "",
) -> bool:
    """Change the row whose `id` is `key`; whether there was one. No values is no change. The column
    that is `counted` grows by one.
    """
    if not values:
        return True
    return _update(table, tuple(values), counted).run(connection, {**values, _KEY: key}) == 1


def update_all(
    connection: Connection,
    table: sa.Table,
    changes: Iterable[tuple[str, Mapping[str, Any]]],
    *,
    counted: str = "",
) -> None:
    """`update` for the `id` and the values of many rows."""
    by_names: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for key, values in changes:
        by_names.setdefault(tuple(values), []).append({**values, _KEY: key})
    for names, rows in by_names.items():
        _update(table, names, counted).run_all(connection, rows)


def delete_all(connection: Connection, table: sa.Table, keys: Iterable[str]) -> None:
    """Delete the rows whose `id` is one of the keys."""
    _delete(table).run_all(connection, [{_KEY: key} for key in keys])


def delete(connection: Connection, table: sa.Table, key: str) -> bool:
    """Delete the row whose `id` is `key`; whether there was one."""
    return _delete(table).run(connection, {_KEY: key}) == 1


def forget_oldest(
    connection: Connection, mine: sa.ColumnElement[bool], at: sa.Column[Any], *, kept: int
) -> None:
    """Of the rows that are `mine`, of one table, the newest `kept` by the time `at` stay."""
    times = sa.select(at).where(mine).order_by(at.desc())
    oldest_kept = times.offset(kept - 1).limit(1)
    connection.execute(sa.delete(at.table).where(mine, at < oldest_kept.scalar_subquery()))


_KEY = "key_of_row"  # A parameter; no column has such a name.


@functools.cache
def _insert(table: sa.Table, names: tuple[str, ...]) -> Statement:
    return Statement(sa.insert(table).inline(), names)


@functools.cache
def _update(table: sa.Table, names: tuple[str, ...], counted: str) -> Statement:
    query = sa.update(table).where(table.c.id == sa.bindparam(_KEY))
    if counted:
        query = query.values({counted: table.c[counted] + 1})
    return Statement(query, names)


@functools.cache
def _delete(table: sa.Table) -> Statement:
    return Statement(sa.delete(table).where(table.c.id == sa.bindparam(_KEY)))
