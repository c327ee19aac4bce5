"""Rows that SQLite is not asked for again, because nothing was written since they were read.

At the beginning of a read transaction SQLite says, for 3 µs, whether other connections have committed
anything since this one looked last (`PRAGMA data_version`), and how many rows this one has changed
itself. While both are as before, the transaction sees the same state of the database as the one
before, so a statement with the same parameters has the same rows. This is no notice of a change,
which could be missed: it is a property of the snapshot. Kept are the rows as the driver gave them,
which nobody can change. Begun and ended by db.py, used by statement.py. PostgreSQL says no such thing.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Hashable
from typing import Any

from sqlalchemy.engine import Connection

ROWS_MAX = 4_096  # Of one database, two or three KiB each. Before there are more, all are dropped.
DATA_VERSION = "PRAGMA data_version"
_INFO = "kumoi_unchanged_rows"

Rows = list[tuple[Any, ...]]


class KeptRows:
    """The rows that are kept of one database, for all of its connections."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Rows] = {}
        self._count = 0
        self._states = itertools.count()
        self._lock = threading.Lock()

    def new_state(self) -> int:
        """A number that no state of the database, as some connection sees it, has had before."""
        return next(self._states)

    def get(self, key: Hashable) -> Rows | None:
        return self._kept.get(key)

    def keep(self, key: Hashable, rows: Rows) -> None:
        size = len(rows) + 1  # No rows take room, too.
        with self._lock:
            if self._count + size > ROWS_MAX:
                self._kept.clear()
                self._count = 0
            if size <= ROWS_MAX:
                self._kept[key] = rows
                self._count += size


class UnchangedRows:
    """What one connection has read of the state of the database that it sees now."""

    def __init__(self, driver_connection: Any, kept: KeptRows) -> None:
        self._driver = driver_connection
        self._kept = kept
        self._seen = (0, 0)
        self._state = kept.new_state()
        self._is_open = False

    def begin(self, data_version: int) -> None:
        """A read transaction has begun."""
        seen = (data_version, self._driver.total_changes)
        if seen != self._seen:
            self._seen, self._state = seen, self._kept.new_state()
        self._is_open = True

    def end(self) -> None:
        self._is_open = False

    def get(self, key: Hashable) -> Rows | None:
        return self._kept.get((self._state, key)) if self._holds() else None

    def keep(self, key: Hashable, rows: Rows) -> None:
        if self._holds():
            self._kept.keep((self._state, key), rows)

    def _holds(self) -> bool:
        """Whether this is a read transaction, and has written nothing, which will be undone."""
        return self._is_open and self._driver.total_changes == self._seen[1]


def of(connection: Connection) -> UnchangedRows | None:
    found: UnchangedRows | None = connection.info.get(_INFO)
    return found


def begin(connection: Connection, kept: KeptRows, data_version: int) -> None:
    found = of(connection)
    if found is None:
        driver_connection = connection.connection.driver_connection
        found = connection.info[_INFO] = UnchangedRows(driver_connection, kept)
    found.begin(data_version)


def end(connection: Connection) -> None:
    found = of(connection)
    if found is not None:
        found.end()
