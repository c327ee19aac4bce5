from __future__ import annotations

import contextlib
from typing import Any

from sqlalchemy import event

from kumoi.engine.db import Database
from kumoi.engine.idle_connections import IdleConnections

TOGETHER = 5


def _read_together(database: Database, count: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(database.read())


def test_connections_that_nobody_needs_any_more_are_closed(database: Database) -> None:
    closed: list[Any] = []
    event.listen(database.engine, "close_detached", closed.append)
    database._idle = IdleConnections(idle_s=0.0)
    _read_together(database, TOGETHER)  # Each that comes back finds the one before too old.
    assert len(closed) == TOGETHER - 1
    assert database.engine.pool.checkedout() == 1  # type: ignore[attr-defined]
    _read_together(database, 1)
    assert len(closed) == TOGETHER - 1  # The last one is kept, however old it is.


def test_connections_stay_for_who_needs_them_again_soon(database: Database) -> None:
    _read_together(database, TOGETHER)
    opened: list[Any] = []
    event.listen(database.engine, "connect", lambda raw, _record: opened.append(raw))
    _read_together(database, TOGETHER)
    assert opened == []
