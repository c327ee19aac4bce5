"""Rows that SQLite is not asked for again, because nothing was written since they were read.

At the beginning of a read transaction SQLite says, for 3 µs, whether other connections have committed
anything since this one looked last (`PRAGMA data_version`), and this connection knows whether it was
itself in a write transaction since. Where neither is so, the transaction sees the same state of the
database as the one before, so a statement with the same parameters has the same rows. This is no
notice of a change, which could be missed: it is a property of the snapshot. Kept are the rows as the
driver gave them, which nobody can change. Begun and ended by db.py, used by statement.py. PostgreSQL
says no such thing.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.engine.memo import BoundedMap

DATA_VERSION = "PRAGMA data_version"
_INFO = "kumoi_unchanged_rows"

Rows = list[tuple[Any, ...]]
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

    def may_write(self) -> None:
        """A write transaction has begun. Not everything that it can change is counted: no change of
        a table's columns is.
        """
        self._seen = None
        self._is_open = False

    def end(self) -> None:
        self._is_open = False

    def get(self, key: Hashable) -> Rows | None:
        return self._kept.get((self._state, key)) if self._holds() else None

    def keep(self, key: Hashable, rows: Rows) -> None:
        if self._holds():
            self._kept.put((self._state, key), rows, (key, rows))

    def _holds(self) -> bool:
        """Whether this is a read transaction, and has written nothing, which will be undone."""
        return (
            self._is_open and self._seen is not None and self._driver.total_changes == self._seen[1]
        )


def of(connection: Connection) -> UnchangedRows | None:
    found: UnchangedRows | None = connection.info.get(_INFO)
    return found


def begin(connection: Connection, kept: KeptRows, data_version: int) -> None:
    found = of(connection)
    if found is None:
        driver_connection = connection.connection.driver_connection
        found = connection.info[_INFO] = UnchangedRows(driver_connection, kept)
    found.begin(data_version)


def may_write(connection: Connection) -> None:
    found = of(connection)
    if found is not None:
        found.may_write()


def end(connection: Connection) -> None:
    found = of(connection)
    if found is not None:
        found.end()
