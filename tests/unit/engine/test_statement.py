"""A statement compiled once answers as SQLAlchemy's own execution does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from kumoi.base.errors import Bug, Transient
from kumoi.engine.db import Database, Json, Timestamp
from kumoi.engine.statement import KEYS_MAX, KeyedStatement, Statement

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)

thing = sa.Table(
    "thing",
    sa.MetaData(),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("count", sa.Integer),
    sa.Column("is_on", sa.Boolean),
    sa.Column("at", Timestamp),
    sa.Column("data", Json),
    sa.Column("factor", sa.Float),
)
ROWS = [
    ("a", 1, True, AT, {"x": [1]}, 1.5),
    ("b", 2, False, None, None, None),
    ("c%", None, None, AT, ["%", "é"], 2.0),
]
ALL = Statement(sa.select(thing).order_by(thing.c.id))
WANTED = Statement(
    sa.select(thing.c.id, thing.c.at)
    .where(thing.c.is_on == sa.bindparam("on"), thing.c.at <= sa.bindparam("until"))
    .where(thing.c.id != "z", sa.func.length(thing.c.id) < 9)
)
SOME = KeyedStatement(sa.select(thing.c.id).order_by(thing.c.id.desc()), thing.c.id)


@pytest.fixture
def filled(database: Database) -> Database:
    thing.metadata.create_all(database.engine)
    with database.write() as connection:
        names = [column.name for column in thing.c]
        connection.execute(sa.insert(thing), [dict(zip(names, row, strict=True)) for row in ROWS])
    return database


def test_values_have_the_types_of_their_columns(filled: Database) -> None:
    with filled.read() as connection:
        assert ALL.rows(connection) == ROWS
        assert ALL.rows(connection) == [tuple(row) for row in connection.execute(sa.select(thing))]
        assert ALL.row(connection) == ROWS[0]


def test_parameters_are_given_by_name(filled: Database) -> None:
    with filled.read() as connection:
        assert WANTED.rows(connection, on=True, until=AT) == [("a", AT)]
        assert WANTED.rows(connection, on=False, until=AT) == []
        assert WANTED.row(connection, on=False, until=AT) is None
        with pytest.raises(KeyError):
            WANTED.rows(connection, on=True)


def test_it_sees_what_its_transaction_wrote(filled: Database) -> None:
    with pytest.raises(KeyError), filled.write() as connection:
        connection.execute(sa.insert(thing).values(id="d"))
        assert len(ALL.rows(connection)) == 4
        raise KeyError
    with filled.read() as connection:
        assert len(ALL.rows(connection)) == 3


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, KEYS_MAX + 1])
def test_rows_among_any_number_of_keys(filled: Database, count: int) -> None:
    keys = ["c%", "a", *(f"none-{number}" for number in range(count))][:count]
    with filled.read() as connection:
        found = [key for (key,) in SOME.rows(connection, keys)]
    assert found == [key for key in ("c%", "a") if key in keys]


def test_what_the_database_refuses_is_told_as_ever(filled: Database) -> None:
    missing = Statement(sa.select(sa.table("nowhere", sa.column("id", sa.Text()))))
    with pytest.raises((sa.exc.ProgrammingError, Transient)), filled.read() as connection:
        missing.rows(connection)
    with filled.read() as connection:
        assert len(ALL.rows(connection)) == 3


def test_what_is_written_has_the_types_of_its_columns(filled: Database) -> None:
    names = [column.name for column in thing.c]
    insert = Statement(sa.insert(thing), names)
    rows = [dict(zip(names, ("n" + row[0], *row[1:]), strict=True)) for row in ROWS]
    with filled.write() as connection:
        assert insert.run(connection, rows[0]) == 1
        insert.run_all(connection, rows[1:])
    with filled.read() as connection:
        assert ALL.rows(connection)[len(ROWS) :] == [tuple(row.values()) for row in rows]


def test_a_change_says_how_many_it_met_and_what_it_returns(filled: Database) -> None:
    at_least = thing.c.count >= sa.bindparam("least")
    grow = sa.update(thing).where(at_least).values(count=thing.c.count + 10)
    returning = Statement(grow.returning(thing.c.at, thing.c.count))
    change = Statement(sa.update(thing).where(at_least), ("data", "is_on"))
    with filled.write() as connection:
        assert Statement(grow).run(connection, {"least": 2}) == 1
        assert sorted(returning.rows(connection, least=1), key=lambda row: row[1]) == [
            (AT, 11),
            (None, 22),
        ]
        assert change.run(connection, {"least": 11, "data": [1], "is_on": None}) == 2
        assert Statement(sa.delete(thing).where(at_least)).run(connection, {"least": 12}) == 1
    with filled.read() as connection:
        assert [row[:5] for row in ALL.rows(connection)] == [
            ("a", 11, None, AT, [1]),
            ("c%", None, None, AT, ["%", "é"]),
        ]


def test_a_change_that_the_database_refuses_is_its_error(filled: Database) -> None:
    insert = Statement(sa.insert(thing), ("id",))
    for write in (
        lambda connection: insert.run(connection, {"id": "a"}),
        lambda connection: insert.run_all(connection, [{"id": "d"}, {"id": "a"}]),
    ):
        with pytest.raises(sa.exc.IntegrityError), filled.write() as connection:
            write(connection)


@pytest.mark.parametrize("call", [sa.func.now(), sa.func.random(), sa.func.date("now")])
def test_a_query_of_clock_or_chance_is_refused(
    filled: Database, call: sa.ColumnElement[object]
) -> None:
    """Its rows may be kept; see engine/unchanged.py."""
    query = sa.select(thing.c.id).where(sa.func.coalesce(call, 1) != sa.bindparam("other"))
    with filled.read() as connection, pytest.raises(Bug, match="rows may be kept"):
        Statement(query).rows(connection, other=1)
