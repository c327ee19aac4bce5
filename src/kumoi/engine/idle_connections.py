"""Connections between transactions. Where many were needed at once, they go when they were not needed again
for a while: each is a process of PostgreSQL's, of 1.4 MiB and more.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque

import sqlalchemy as sa
from sqlalchemy.engine import Connection

IDLE_S = 60.0


class IdleConnections:
    """The one used last is taken first, so whoever needs few uses the same few. Threads share it."""

    def __init__(self, *, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._kept: deque[tuple[float, Connection]] = deque()

    def take(self) -> Connection | None:
        try:
            return self._kept.pop()[1]
        except IndexError:
            return None

    def keep(self, connection: Connection) -> None:
        """And close the one that nobody has needed for longest, where that is too long."""
        now_s = time.monotonic()
        with contextlib.suppress(IndexError):  # Others take at the same time.
            if now_s - self._kept[0][0] >= self._idle_s:
                _end(self._kept.popleft()[1])
        self._kept.append((now_s, connection))

    def close(self) -> None:
        """All of them; SQLAlchemy's pool keeps what still works."""
        while (connection := self.take()) is not None:
            with contextlib.suppress(sa.exc.DBAPIError):
                connection.close()


def _end(connection: Connection) -> None:
    """Not to SQLAlchemy's pool, which would keep it."""
    with contextlib.suppress(sa.exc.DBAPIError):
        connection.detach()
        connection.close()
