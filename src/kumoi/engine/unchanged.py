"""Rows that SQLite is not asked for again, because nothing was written since they were read.

At the beginning of a read transaction SQLite says, for 3 µs, whether other connections have committed
anything since this one looked last (`PRAGMA data_version`), and how many rows this one has changed
itself. While both are as before, the transaction sees the same state of the database as the one
before, so a statement with the same parameters has the same rows. This is no notice of a change,
which could be missed: it is a property of the snapshot. Kept are the rows as the driver gave them,
which nobody can change. Begun and ended by db.py, used by statement.py. PostgreSQL says no such thing.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from sqlalchemy.engine import Connection

ROWS_MAX = 4_096  # Of one connection, a KiB or two each. Before there are more, all are dropped.
DATA_VERSION = "PRAGMA data_version"
_INFO = "kumoi_unchanged_rows"

Rows = list[tuple[Any, ...]]


class UnchangedRows:
    """What one connection has read of the state of the database that it sees now."""

    def __init__(self, driver_connection: Any) -> None:
        self._driver = driver_connection
        self._state = (0, 0)
        self._is_open = False
        self._kept: dict[Hashable, Rows] = {}
        self._count = 0

    def begin(self, data_version: int) -> None:
        """A read transaction has begun."""
        state = (data_version, self._driver.total_changes)
        if state != self._state:
            self._drop()
        self._state = state
        self._is_open = True

    def end(self) -> None:
        self._is_open = False

    def get(self, key: Hashable) -> Rows | None:
        return self._kept.get(key) if self._holds() else None

    def keep(self, key: Hashable, rows: Rows) -> None:
        size = len(rows) + 1  # No rows take room, too.
        if not self._holds() or size > ROWS_MAX:
            return
        if self._count + size > ROWS_MAX:
            self._drop()
        self._kept[key] = rows
        self._count += size

    def _holds(self) -> bool:
        """Whether this is a read transaction, and has written nothing, which will be undone."""
        return self._is_open and self._driver.total_changes == self._state[1]

    def _drop(self) -> None:
        self._kept.clear()
        self._count = 0


def of(connection: Connection) -> UnchangedRows | None:
    found: UnchangedRows | None = connection.info.get(_INFO)
    return found


def begin(connection: Connection, data_version: int) -> None:
    found = of(connection)
    if found is None:
        found = connection.info[_INFO] = UnchangedRows(connection.connection.driver_connection)
    found.begin(data_version)


def end(connection: Connection) -> None:
    found = of(connection)
    if found is not None:
        found.end()
