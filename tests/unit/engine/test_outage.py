"""A PostgreSQL that goes away and comes back: what waits, what fails, and what is heard again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from tests.postgres import PostgresServer, own_postgres

from kumoi.base.errors import OutcomeUnknown, StoreLost, Transient
from kumoi.engine import db, engines, feed, schema
from kumoi.engine.db import Database
from kumoi.engine.schema import metadata
from kumoi.engine.wake import Alarm

BOUND_S = 30.0
LEASE = {"name": "mark", "token": "1", "expires_at": datetime(2026, 11, 28, tzinfo=UTC)}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with own_postgres() as running:
        yield running


@pytest.fixture
def database(server: PostgresServer, tmp_path: Path) -> Iterator[Database]:
    opened = Database(server.url, wake_dir=tmp_path / "wake")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()  # What it held may be of a server that is gone.
    metadata.drop_all(opened.engine)
    opened.close()


def end_connection(server: PostgresServer, pid: int) -> None:
    """As when the server cuts it."""
    with psycopg.connect(server.libpq_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def pid_of(connection: sa.Connection) -> int:
    return int(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())


def revision(database: Database) -> int:
    with database.read() as connection:
        return feed.position(connection).revision


def touch(database: Database) -> None:
    with database.write() as connection:
        feed.touch(connection, "server", "a")


@pytest.mark.parametrize("work", [revision, touch])
def test_a_short_gap_is_waited_out(
    server: PostgresServer, database: Database, work: Callable[[Database], object]
) -> None:
    touch(database)
    server.kill()
    coming_back = threading.Thread(target=server.start)
    coming_back.start()
    work(database)
    coming_back.join()
    assert revision(database) >= 1


def test_one_thread_tries_for_all_that_wait(
    server: PostgresServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is coming back refuses each attempt, and so gets there later."""
    touch(database)
    tries: list[int] = []
    really = database._try_to_begin

    def counted(begin: str) -> sa.Connection:
        tries.append(threading.get_ident())
        return really(begin)

    monkeypatch.setattr(database, "_try_to_begin", counted)
    server.kill()
    waiting = [threading.Thread(target=revision, args=[database]) for _ in range(20)]
    for thread in waiting:
        thread.start()
    poll_until(lambda: len(tries) >= 40)
    again = [who for who in tries if tries.count(who) > 2]
    assert len(set(again)) == 1
    server.start()
    for thread in waiting:
        thread.join(BOUND_S)
        assert not thread.is_alive()


def poll_until(is_so: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + BOUND_S
    while not is_so():
        assert time.monotonic() < ends_s
        time.sleep(0.01)


def test_a_long_outage_is_told_at_its_end_and_then_at_once(
    server: PostgresServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "OUTAGE_WAIT_S", 0.3)
    hasty = Database(server.url, wake_dir=Path("unused"))
    server.kill()
    try:
        for work in (revision, touch, revision):
            with pytest.raises(StoreLost):
                work(hasty)
    finally:
        server.start()
    touch(hasty)
    assert revision(hasty) == 1
    hasty.close()


def test_a_write_cut_before_its_commit_is_lost_and_says_so(
    server: PostgresServer, database: Database
) -> None:
    touch(database)
    with pytest.raises(StoreLost), database.write() as connection:
        feed.touch(connection, "server", "b")
        end_connection(server, pid_of(connection))
        feed.touch(connection, "server", "c")
    assert revision(database) == 1


def test_a_read_that_is_cut_says_so(server: PostgresServer, database: Database) -> None:
    with pytest.raises(StoreLost), database.read() as connection:
        end_connection(server, pid_of(connection))
        feed.position(connection)


def test_a_commit_that_is_cut_is_neither_told_as_kept_nor_tried_again(
    server: PostgresServer, database: Database
) -> None:
    commits: list[int] = []

    def cut(connection: sa.Connection) -> None:
        commits.append(1)
        end_connection(server, pid_of(connection))

    touch(database)
    sa.event.listen(database.engine, "commit", cut)
    with pytest.raises(OutcomeUnknown), database.write(wakes=False) as connection:
        feed.touch(connection, "server", "b")
    sa.event.remove(database.engine, "commit", cut)
    assert commits == [1]
    assert revision(database) == 1


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_commit_that_is_cut_is_told_by_its_mark(
    server: PostgresServer, database: Database, *, is_kept: bool
) -> None:
    """As by the record of a change (audit.py)."""

    cuts: list[int] = []

    def cut(connection: sa.Connection) -> None:
        if cuts:
            return
        cuts.append(pid_of(connection))
        if is_kept:
            connection.exec_driver_sql("COMMIT")
        end_connection(server, cuts[0])

    def mark(connection: sa.Connection) -> db.Mark:
        connection.execute(sa.insert(schema.lease).values(**LEASE))
        query = sa.select(schema.lease.c.name).where(schema.lease.c.name == LEASE["name"])
        return lambda later: later.execute(query).first() is not None

    touch(database)
    database.before_commit = mark
    before = database.commits
    sa.event.listen(database.engine, "commit", cut)
    told: AbstractContextManager[Any] = nullcontext() if is_kept else pytest.raises(StoreLost)
    with told, database.write(wakes=False) as connection:
        feed.touch(connection, "server", "b")
    assert revision(database) == (2 if is_kept else 1)
    assert database.commits - before == (1 if is_kept else 0)


def test_a_writer_that_keeps_others_waiting_too_long_is_no_outage(
    server: PostgresServer, database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_MS", 100)
    other = Database(server.url, wake_dir=tmp_path / "other")
    with database.write(), pytest.raises(Transient) as raised:
        touch(other)
    assert not isinstance(raised.value, StoreLost)
    other.close()


def test_what_was_heard_before_a_restart_is_heard_after_it(
    server: PostgresServer, database: Database
) -> None:
    async def story() -> None:
        alarm = Alarm(database.listen)
        await alarm.wait(BOUND_S, after=0)
        server.kill()
        seen = alarm.count
        await asyncio.to_thread(server.start)
        await alarm.wait(BOUND_S, after=seen + 1)  # It noticed, and it listens again.
        seen = alarm.count
        await asyncio.to_thread(touch, database)
        await alarm.wait(BOUND_S, after=seen)
        assert alarm.count > seen
        await alarm.close()

    asyncio.run(story())


def test_a_listener_waits_for_a_database_that_is_not_there_yet(
    server: PostgresServer, database: Database
) -> None:
    async def story() -> None:
        server.kill()
        alarm = Alarm(database.listen)
        await asyncio.to_thread(server.start)
        await alarm.wait(BOUND_S, after=0)
        assert alarm.count == 1
        await alarm.close()

    asyncio.run(story())
