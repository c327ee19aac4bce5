"""No writer waits for another without an end, and one that keeps the others waiting is named."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kumoi.base import log
from kumoi.base.errors import Transient
from kumoi.engine import db, feed, write_watch
from kumoi.engine.db import Database
from kumoi.engine.write_watch import DOING


def test_a_writer_that_waits_too_long_is_told_so(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "WRITER_WAIT_S", 0.01)
    refused: list[Transient] = []

    def write() -> None:
        try:
            with database.write() as connection:
                feed.touch(connection, "server", "a")
        except Transient as error:
            refused.append(error)

    def in_thread() -> None:
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()

    with database.write():
        in_thread()
    assert [error.retry_after_s for error in refused] == [1.0]
    in_thread()
    assert len(refused) == 1
    with database.read() as connection:
        assert feed.changes(connection, "server", since=0).keys == ("a",)


@pytest.mark.parametrize(("long_s", "logged"), [(0.0, 2), (60.0, 0)])
def test_a_long_transaction_is_logged_with_what_was_done(
    database: Database, monkeypatch: pytest.MonkeyPatch, long_s: float, logged: int
) -> None:
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(write_watch, "LONG_S", long_s)
    monkeypatch.setattr(log, "warning", lambda name, **fields: lines.append({"": name} | fields))
    doing = DOING.set("POST /network/v2.0/ports")
    with database.write() as connection:
        feed.touch(connection, "server", "a")
    with pytest.raises(KeyError), database.write():
        raise KeyError
    assert all(line["computed_ms"] <= line["ms"] + 1 for line in lines)
    assert [(line[""], line["doing"]) for line in lines] == [
        ("store.write_long", "POST /network/v2.0/ports")
    ] * logged
    DOING.reset(doing)
