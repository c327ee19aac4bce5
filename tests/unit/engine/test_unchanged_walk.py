"""Kept rows are those that the database gives, after any sequence of what can happen to it.

Each reader compares both in one transaction: what a Statement says, which may have been kept, and
what the driver says when it is asked.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine import sqlite
from kumoi.engine.db import Database
from kumoi.engine.statement import KeyedStatement, Statement

thing = sa.Table(
    "thing",
    sa.MetaData(),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("count", sa.Integer),
)
ALL = Statement(sa.select(thing.c.id, thing.c.count).order_by(thing.c.id))
SUM = Statement(sa.select(sa.func.coalesce(sa.func.sum(thing.c.count), 0)))
SOME = KeyedStatement(sa.select(thing.c.id, thing.c.count).order_by(thing.c.id), thing.c.id)
ADD = Statement(sa.insert(thing), ("id", "count"))
GROW = Statement(sa.update(thing).values(count=thing.c.count + 1))
KEYS = [f"k{number}" for number in range(8)]
STEPS = 150
Step = Callable[[Database, random.Random], None]


@pytest.fixture
def pair(database: Database, store_url: str, tmp_path: Path) -> Iterator[list[Database]]:
    """Those of two processes."""
    thing.metadata.create_all(database.engine)
    twin = Database(store_url, wake_dir=tmp_path / "wake")
    yield [database, twin]
    twin.close()


def _compare(connection: Connection) -> list[tuple[Any, ...]]:
    query = sa.select(thing.c.id, thing.c.count).order_by(thing.c.id)
    fresh = [tuple(row) for row in connection.execute(query)]
    assert ALL.rows(connection) == fresh
    assert SUM.rows(connection) == [(sum(count for _, count in fresh),)]
    assert SOME.rows(connection, KEYS[:3]) == [row for row in fresh if row[0] in KEYS[:3]]
    return fresh


def _add(database: Database, chance: random.Random) -> None:
    with database.write() as connection:
        key = chance.choice(KEYS)
        connection.execute(sa.delete(thing).where(thing.c.id == key))
        ADD.run(connection, {"id": key, "count": chance.randrange(9)})
        _compare(connection)


def _grow(database: Database, _chance: random.Random) -> None:
    with database.write() as connection:
        GROW.run(connection, {})


def _clear(database: Database, _chance: random.Random) -> None:
    with database.write() as connection:
        connection.execute(sa.delete(thing))


def _undo(database: Database, _chance: random.Random) -> None:
    with contextlib.suppress(KeyError), database.write() as connection:
        GROW.run(connection, {})
        _compare(connection)
        raise KeyError


def _undo_part(database: Database, _chance: random.Random) -> None:
    with database.write() as connection:
        with contextlib.suppress(KeyError), connection.begin_nested():
            GROW.run(connection, {})
            _compare(connection)
            raise KeyError
        _compare(connection)


def _make_anew(database: Database, _chance: random.Random) -> None:
    """No row is changed by statements that drop a table and make it."""
    with database.write() as connection:
        thing.drop(connection)
        thing.create(connection)


def _write_in_read(database: Database, _chance: random.Random) -> None:
    if not database.is_sqlite:
        return  # PostgreSQL lets no read transaction write.
    with database.read() as connection:
        _compare(connection)
        GROW.run(connection, {})
        _compare(connection)


def _empty_log(database: Database, chance: random.Random) -> None:
    if database.is_sqlite:
        with _raw(database) as raw:
            raw.execute(f"PRAGMA wal_checkpoint({chance.choice(['PASSIVE', 'TRUNCATE'])})")


def _compact(database: Database, _chance: random.Random) -> None:
    if database.is_sqlite:
        with _raw(database) as raw:
            raw.execute("VACUUM")


def _restore(database: Database, _chance: random.Random) -> None:
    """A copy is written over the live file by SQLite's own means, by another connection."""
    if not database.is_sqlite:
        return
    with _raw(database) as raw, contextlib.closing(sqlite.driver().connect(":memory:")) as copy:
        raw.backup(copy)
        copy.execute("DELETE FROM thing WHERE count % 2")
        copy.commit()
        copy.backup(raw)


@contextlib.contextmanager
def _raw(database: Database) -> Iterator[Any]:
    """A connection as another program would have it."""
    with contextlib.closing(sqlite.driver().connect(database.url.database, timeout=10)) as raw:
        yield raw


CHANGES: list[Step] = [_add, _add, _grow, _grow, _clear, _undo, _undo_part, _make_anew]
OTHERS: list[Step] = [_write_in_read, _empty_log, _compact, _restore]


@pytest.mark.parametrize("seed", range(3))
def test_kept_rows_are_those_that_the_database_has(pair: list[Database], seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(STEPS):
        database = chance.choice(pair)
        if chance.random() < 0.4:
            chance.choice(CHANGES + OTHERS)(database, chance)
        for reader in chance.sample(pair, chance.randint(1, 2)):
            with reader.read() as connection:
                before = _compare(connection)
                if chance.random() < 0.2:
                    _grow_elsewhere(pair)
                    assert _compare(connection) == before
                with reader.read() as second:
                    _compare(second)


def _grow_elsewhere(pair: list[Database]) -> None:
    for database in pair:
        with database.write() as connection:
            GROW.run(connection, {})


def test_who_has_written_reads_it_through_any_process(pair: list[Database]) -> None:
    """Many at once: writers of two processes read their own, and readers never an older state."""
    failures: list[BaseException] = []
    writes = 40
    with pair[0].write() as connection:
        ADD.run(connection, {"id": "k0", "count": 0})

    def write(turns: Iterator[Database]) -> None:
        for _ in range(writes):
            with next(turns).write() as connection:
                ((before,),) = SUM.rows(connection)
                GROW.run(connection, {})
            for database in pair:
                with database.read() as connection:
                    assert _compare(connection)[0][1] > before

    def read(database: Database) -> None:
        newest = 0
        while newest < 3 * writes:
            with database.read() as connection:
                ((_, count),) = _compare(connection)
            assert count >= newest
            newest = count

    def guarded(work: Callable[[Any], None], subject: Any) -> None:
        try:
            work(subject)
        except BaseException as cause:  # noqa: BLE001 - handed to the test
            failures.append(cause)

    work = [(write, itertools.cycle(pair[::step])) for step in (1, -1, 1)]
    readers = [(read, database) for database in pair * 2]
    threads = [threading.Thread(target=guarded, args=one, daemon=True) for one in [*work, *readers]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert not any(thread.is_alive() for thread in threads)


KILLED = """
import sys
from pathlib import Path
from kumoi.engine.db import Database
from tests.unit.engine.test_unchanged_walk import GROW
database = Database(sys.argv[1], wake_dir=Path(sys.argv[2]))
committed = sys.argv[3] == "committed"
with database.write() as connection:
    GROW.run(connection, {})
    if not committed:
        print("written", flush=True)
        sys.stdin.read()
print("written", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("when", "grown"), [("open", 0), ("committed", 1)])
def test_of_a_killed_writer_only_what_it_committed_is_seen(
    pair: list[Database], store_url: str, tmp_path: Path, when: str, grown: int
) -> None:
    database, twin = pair
    _add(database, random.Random(0))
    before = [_counts(database), _counts(twin)]
    command = [sys.executable, "-c", KILLED, store_url, str(tmp_path / "wake"), when]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        os.kill(writer.pid, signal.SIGKILL)
    wanted = [[count + grown for count in counts] for counts in before]
    assert [_counts(database), _counts(twin)] == wanted
    _grow(twin, random.Random(0))
    assert _counts(database) == [count + 1 for count in wanted[0]]


def _counts(database: Database) -> list[int]:
    with database.read() as connection:
        return [count for _, count in _compare(connection)]
