"""Rows that the database is not asked for again, because nothing was written since they were read.

The writer's. While a write transaction is open nobody else writes, and it knows to which tables it wrote
itself: a statement that reads none of those has the same rows as before. So fifty networks in one
request ask for the quota once.

Readers', on SQLite. At the beginning of a read transaction SQLite says, for 3 µs, whether other connections have committed
anything since this one looked last (`PRAGMA data_version`), and this connection knows whether it was
itself in a write transaction since. Where neither is so, the transaction sees the same state of the
database as the one before, so a statement with the same parameters has the same rows. This is no
notice of a change, which could be missed: it is a property of the snapshot. Kept are the rows as the
driver gave them, which nobody can change. PostgreSQL says no such thing.

Begun and ended by db.py, used by statement.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.engine.memo import BoundedMap

DATA_VERSION = "PRAGMA data_version"
ROWS_MAX = 100
STATEMENTS_MAX = 1_000
"""Of one write transaction: results of more rows, and more of them, are not kept."""
_READER = "kumoi_reader_rows"
_INFO = "kumoi_unchanged_rows"

Rows = list[tuple[Any, ...]]
Tables = tuple[str, ...]
"""Those that a statement reads; empty where that is not known."""
StateKey = tuple[int, Hashable]
KeptRows = BoundedMap[StateKey, Rows]
"""What is kept of one database, for all of its connections, so that all have one bound."""


class UnchangedRows:
    """What one connection has read of the state of the database that it sees now. Each state has a
    number that no state of any connection had before.
    """

    _states = itertools.count()

    def __init__(self, driver_connection: Any, kept: KeptRows) -> None:
        self._driver = driver_connection
        self._kept = kept
        self._seen: tuple[int, int] | None = None
        self._state = next(self._states)
        self._is_open = False

    def begin(self, data_version: int) -> None:
        """A read transaction has begun."""
        seen = (data_version, self._driver.total_changes)
        if seen != self._seen:
            self._seen, self._state = seen, next(self._states)
        self._is_open = True

    def forget(self) -> None:
        """A write transaction has begun. Not everything that it can change is counted: no change of
        a table's columns is.
        """
        self._seen = None
        self._is_open = False

    def end(self) -> None:
        self._is_open = False

    def get(self, key: Hashable, _tables: Tables) -> Rows | None:
        return self._kept.get((self._state, key)) if self._holds() else None

    def keep(self, key: Hashable, rows: Rows, _tables: Tables) -> None:
        if self._holds():
            self._kept.put((self._state, key), rows, (key, rows))

    def _holds(self) -> bool:
        """Whether this is a read transaction, and has written nothing, which will be undone."""
        return (
            self._is_open and self._seen is not None and self._driver.total_changes == self._seen[1]
        )


class WriterRows:
    """What one write transaction has read."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[Rows, tuple[int, ...]]] = {}
        self._writes: dict[str, int] = {}

    def get(self, key: Hashable, tables: Tables) -> Rows | None:
        kept = self._kept.get(key)
        return kept[0] if kept is not None and kept[1] == self._written(tables) else None

    def keep(self, key: Hashable, rows: Rows, tables: Tables) -> None:
        if tables and len(rows) <= ROWS_MAX and len(self._kept) < STATEMENTS_MAX:
            self._kept[key] = rows, self._written(tables)

    def wrote(self, table: str) -> None:
        """Rows were added to the table, or changed. Deleting one may change other tables as well."""
        self._writes[table] = self._writes.get(table, 0) + 1

    def forget(self) -> None:
        self._kept.clear()

    def _written(self, tables: Tables) -> tuple[int, ...]:
        """How often each was written to."""
        return tuple(self._writes.get(table, 0) for table in tables)


def of(connection: Connection) -> UnchangedRows | WriterRows | None:
    found: UnchangedRows | WriterRows | None = connection.info.get(_INFO)
    return found


def begin_read(connection: Connection, kept: KeptRows, data_version: int) -> None:
    info = connection.info
    found: UnchangedRows | None = info.get(_READER)
    if found is None:
        driver_connection = connection.connection.driver_connection
        found = info[_READER] = UnchangedRows(driver_connection, kept)
    found.begin(data_version)
    info[_INFO] = found


def begin_write(connection: Connection) -> None:
    info = connection.info
    reader: UnchangedRows | None = info.get(_READER)
    if reader is not None:
        reader.forget()
    info[_INFO] = WriterRows()


def wrote(connection: Connection, table: str | None) -> None:
    """A statement has written to that table; None where it may have to any."""
    found = of(connection)
    if isinstance(found, WriterRows):
        if table is None:
            found.forget()
        else:
            found.wrote(table)


def sent(connection: Connection, _cursor: object, text: str, *_others: object) -> None:
    """SQLAlchemy sends a statement by itself. Listens to the event of that name."""
    if not text.startswith("SELECT"):
        wrote(connection, None)


def end(connection: Connection) -> None:
    found = connection.info.pop(_INFO, None)
    if isinstance(found, UnchangedRows):
        found.end()
