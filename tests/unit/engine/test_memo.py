"""What is kept of things is what they are."""

from __future__ import annotations

import sqlalchemy as sa

from kumoi.engine.db import Database, Json
from kumoi.engine.memo import ENTRY_BYTES, BoundedMap, Memo, weight
from kumoi.engine.statement import Statement, limit

thing = sa.Table(
    "thing",
    sa.MetaData(),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("told", Json),
)
ALL = Statement(sa.select(thing).order_by(thing.c.id))


def _made(things: tuple[object, ...], *context: object) -> list[object]:
    return [*things, *context]


def test_it_is_made_once_for_the_same_things_and_context() -> None:
    memo = Memo(_made)
    one, other = ["a"], ["a"]
    first = memo.get((one,), 1)
    assert first == [["a"], 1]
    assert memo.get((one,), 1) is first
    assert memo.get((one,), 2) == [["a"], 2]
    assert memo.get((other,), 1) is not first  # Equal, and another thing.
    assert memo.get((one, other), 1) == [["a"], ["a"], 1]


def test_a_thing_that_is_gone_leaves_its_place_to_none() -> None:
    memo = Memo(_made)
    for number in range(1_000):  # Each would be given the memory of the one before.
        assert memo.get(([number],)) == [[number]]


def test_it_keeps_only_so_much() -> None:
    memo = Memo(_made, bytes_max=2 * ENTRY_BYTES + 99)
    one = ["a"]
    first = memo.get((one,), 0)
    for context in range(1, 4):
        memo.get((one,), context)
    assert memo.get((one,), 0) is not first


def test_a_large_context_or_result_is_weighed_too() -> None:
    memo = Memo(_made, bytes_max=1_000)
    one = ["a"]
    first = memo.get((one,), 0)
    assert memo.get((one,), "x" * 1_000) is not memo.get((one,), "x" * 1_000)
    assert memo.get((one,), 0) is first


def test_a_weight_is_about_the_bytes_of_what_is_held() -> None:
    assert weight(("x" * 1_000, {"a": 1}, None)) - ENTRY_BYTES in range(1_000, 1_020)
    assert weight(object()) > ENTRY_BYTES


def test_a_row_that_reads_the_same_is_the_same_thing_and_a_changed_one_is_not(
    database: Database,
) -> None:
    thing.metadata.create_all(database.engine)
    kept: BoundedMap[tuple[object, ...], list[object]] = BoundedMap()

    def look() -> list[list[object]]:
        with database.read() as connection:
            return ALL.nouns(connection, {}, list, kept)

    with database.write() as connection:
        rows = [{"id": key, "told": {"x": 1}} for key in "ab"]
        connection.execute(sa.insert(thing), rows)
    before = look()
    assert before == [["a", {"x": 1}], ["b", {"x": 1}]]
    with database.write() as connection:
        connection.execute(sa.update(thing).where(thing.c.id == "b").values(told={"x": 2}))
    after = look()
    assert after == [["a", {"x": 1}], ["b", {"x": 2}]]
    assert after[0] is before[0]


def test_a_limit_may_be_a_parameter(database: Database) -> None:
    thing.metadata.create_all(database.engine)
    first = Statement(sa.select(thing.c.id).order_by(thing.c.id).limit(limit("count")))
    with database.write() as connection:
        connection.execute(sa.insert(thing), [{"id": key, "told": None} for key in "abc"])
        assert first.rows(connection, count=2) == [("a",), ("b",)]
        assert first.rows(connection, count=0) == []
