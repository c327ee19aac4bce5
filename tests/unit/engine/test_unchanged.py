"""SQLite is asked for rows again only when they may have changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.engine.db import Database, pending, undone_together
from kumoi.engine.memo import BYTES_MAX, ENTRY_BYTES, BoundedMap
from kumoi.engine.statement import Statement

thing = sa.Table(
    "thing",
    sa.MetaData(),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("count", sa.Integer),
)
ALL = Statement(sa.select(thing).order_by(thing.c.id))
ONE = Statement(sa.select(thing.c.count).where(thing.c.id == sa.bindparam("key")))
ADD = Statement(sa.insert(thing), ("id", "count"))
GROW = Statement(sa.update(thing).values(count=thing.c.count + 1).returning(thing.c.count))


@pytest.fixture
def filled(database: Database) -> Database:
    thing.metadata.create_all(database.engine)
    with database.write() as connection:
        ADD.run_all(connection, [{"id": "a", "count": 1}, {"id": "b", "count": 2}])
    return database


@pytest.fixture
def twin(filled: Database, store_url: str, tmp_path: Path) -> Iterator[Database]:
    """Another process's."""
    opened = Database(store_url, wake_dir=tmp_path / "wake")
    yield opened
    opened.close()


def _counts(database: Database) -> list[int]:
    with database.read() as connection:
        return [count for _, count in ALL.rows(connection)]


@contextlib.contextmanager
def _asked(database: Database) -> Iterator[list[str]]:
    """The queries that SQLite is asked meanwhile by the connection that is next in turn."""
    found: list[str] = []

    def trace(text: str) -> None:
        if text.startswith("SELECT"):
            found.append(text)

    with database.read() as connection:
        driver: Any = connection.connection.driver_connection
    driver.set_trace_callback(trace)
    yield found
    driver.set_trace_callback(None)


def _needs_sqlite(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL does not say whether anything has changed")


def test_what_has_not_changed_is_asked_once(filled: Database) -> None:
    _needs_sqlite(filled)
    with _asked(filled) as queries:
        for _ in range(3):
            assert _counts(filled) == [1, 2]
            with filled.read() as connection:
                assert ONE.rows(connection, key="b") == [(2,)]
                assert ONE.rows(connection, key="none") == []
    assert len(queries) == 3


def _by_statement(connection: Connection) -> None:
    GROW.rows(connection)


def _by_sqlalchemy(connection: Connection) -> None:
    connection.execute(sa.update(thing).values(count=thing.c.count + 1))


@pytest.mark.parametrize("change", [_by_statement, _by_sqlalchemy])
def test_every_change_is_seen_at_once(
    filled: Database, twin: Database, change: Callable[[Connection], None]
) -> None:
    """Whichever connection or process made it."""
    wanted = [1, 2]
    for writer in (filled, twin, filled, twin, twin):
        for reader in (filled, twin):
            assert _counts(reader) == wanted
        with writer.write() as connection:
            change(connection)
        wanted = [count + 1 for count in wanted]
        with filled.read(), filled.read() as second:  # Another connection of the same process.
            assert [count for _, count in ALL.rows(second)] == wanted
    assert _counts(filled) == wanted


def test_a_transaction_sees_one_state_and_the_next_one_the_newest(
    filled: Database, twin: Database
) -> None:
    with filled.read() as connection:
        before = ALL.rows(connection)
        with twin.write() as writing:
            GROW.rows(writing)
        assert ALL.rows(connection) == before
    assert _counts(filled) == [2, 3]


def test_what_a_read_transaction_writes_is_seen_by_it_alone(filled: Database) -> None:
    if not filled.is_sqlite:
        pytest.skip("PostgreSQL lets no read transaction write")
    assert _counts(filled) == [1, 2]
    with filled.read() as connection:
        GROW.rows(connection)
        assert [count for _, count in ALL.rows(connection)] == [2, 3]
        assert ONE.rows(connection, key="a") == [(2,)]
    with filled.read() as connection:
        assert ONE.rows(connection, key="a") == [(1,)]
    assert _counts(filled) == [1, 2]


def test_what_a_failed_write_undid_is_not_kept(filled: Database) -> None:
    with contextlib.suppress(KeyError), filled.write() as connection:
        GROW.rows(connection)
        assert [count for _, count in ALL.rows(connection)] == [2, 3]
        raise KeyError
    assert _counts(filled) == [1, 2]


def test_the_caller_may_change_the_list_that_it_is_given(filled: Database) -> None:
    with filled.read() as connection:
        ALL.rows(connection).clear()
        assert len(ALL.rows(connection)) == 2


def test_what_is_kept_is_bounded(filled: Database) -> None:
    _needs_sqlite(filled)
    filled.kept_rows = BoundedMap(2 * ENTRY_BYTES + 200)
    with _asked(filled) as queries, filled.read() as connection:
        for _ in range(2):
            ALL.rows(connection)
            ONE.rows(connection, key="a")
            ONE.rows(connection, key="b")  # One too many: the others are dropped.
    assert len(queries) > 4


def test_large_rows_are_bounded_as_many_small_ones_are(filled: Database) -> None:
    _needs_sqlite(filled)
    with filled.write() as connection:
        ADD.run(connection, {"id": "c" * BYTES_MAX, "count": 3})
    with _asked(filled) as queries, filled.read() as connection:
        for _ in range(2):
            assert len(ALL.rows(connection)) == 3
            ONE.rows(connection, key="a")
    assert len(queries) == 3  # What is too large is not kept, and drops nothing else.


def test_the_bound_is_of_all_connections_together(filled: Database) -> None:
    _needs_sqlite(filled)
    filled.kept_rows = BoundedMap(2 * ENTRY_BYTES - 1)
    with _asked(filled) as queries, filled.read() as first:
        ALL.rows(first)
        with filled.read() as second:
            assert len(ALL.rows(second)) == 2  # Drops what the first has kept.
        ALL.rows(first)
    assert len(queries) == 2


other = sa.Table("other", thing.metadata, sa.Column("id", sa.String(64), primary_key=True))
ADD_OTHER = Statement(sa.insert(other), ("id",))
DROP_OTHER = Statement(sa.delete(other))
IN_OTHER = Statement(
    sa.select(thing.c.id).where(sa.exists().where(other.c.id == thing.c.id)).order_by(thing.c.id)
)


def test_a_writer_asks_again_only_for_what_it_wrote(filled: Database) -> None:
    _needs_sqlite(filled)
    with _asked(filled) as queries, filled.write() as connection:
        for number in range(3):
            assert len(ALL.rows(connection)) == 2
            ADD_OTHER.run(connection, {"id": f"{number}"})
        assert len(queries) == 1


@pytest.mark.parametrize("change", [_by_statement, _by_sqlalchemy])
def test_a_writer_sees_what_it_wrote(
    filled: Database, change: Callable[[Connection], None]
) -> None:
    with filled.write() as connection:
        for wanted in (1, 2, 3):
            assert ONE.rows(connection, key="a") == [(wanted,)]
            change(connection)
    with filled.write() as connection:
        assert ONE.rows(connection, key="a") == [(4,)]


def test_a_table_that_only_a_condition_names_is_read_as_well(filled: Database) -> None:
    with filled.write() as connection:
        assert IN_OTHER.rows(connection) == []
        ADD_OTHER.run(connection, {"id": "b"})
        assert IN_OTHER.rows(connection) == [("b",)]
        DROP_OTHER.run(connection, {})
        assert IN_OTHER.rows(connection) == []


def test_a_part_that_was_undone_leaves_nothing_to_read_nor_to_write(filled: Database) -> None:
    pending_in: list[str] = []

    def write(_connection: Connection, what: dict[str, None]) -> None:
        pending_in.extend(what)

    with filled.write() as connection:
        pending(connection, write)["before"] = None
        with contextlib.suppress(KeyError), undone_together(connection):
            GROW.rows(connection)
            assert ONE.rows(connection, key="a") == [(2,)]
            pending(connection, write)["within"] = None
            raise KeyError
        assert ONE.rows(connection, key="a") == [(1,)]
        pending(connection, write)["after"] = None
    assert pending_in == ["before", "after"]


def test_what_a_failed_transaction_had_left_to_write_is_not_written(filled: Database) -> None:
    written: list[str] = []
    with contextlib.suppress(KeyError), filled.write() as connection:
        pending(connection, lambda _connection, what: written.extend(what))["a"] = None
        raise KeyError
    with filled.write():
        pass
    assert written == []
