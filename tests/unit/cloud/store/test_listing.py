from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from kumoi.base.errors import Invalid
from kumoi.cloud.store import listing
from kumoi.cloud.store.listing import SHAPE_VALUES_MAX, Listing, Sort, page
from kumoi.cloud.store.schema import insert_all
from kumoi.engine.db import Database

metadata = sa.MetaData()
thing = sa.Table(
    "thing",
    metadata,
    sa.Column("id", sa.String(8), primary_key=True),
    sa.Column("name", sa.String(8)),
    sa.Column("size", sa.Integer),
)


@dataclass(frozen=True, slots=True)
class Thing:
    id: str
    name: str | None
    size: int


ROWS = [("a", "x", 3), ("b", "x", 1), ("c", None, 2), ("d", "y", 1), ("e", None, 1)]


@pytest.fixture
def database(store_url: str, tmp_path: Path) -> Iterator[Database]:
    opened = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(opened.engine)
    with opened.write() as connection:
        insert_all(
            connection, thing, (dict(zip(("id", "name", "size"), row, strict=True)) for row in ROWS)
        )
    yield opened
    opened.close()


def ids(database: Database, wanted: Listing) -> str:
    with database.read() as connection:
        return "".join(row.id for row in page(connection, thing, Thing, wanted))


def test_without_wishes_everything_comes_by_id(database: Database) -> None:
    assert ids(database, Listing()) == "abcde"


def test_a_filter_takes_any_of_its_values(database: Database) -> None:
    assert ids(database, Listing(filters={"size": [2, 3]})) == "ac"


def test_a_filter_of_many_values_leaves_nothing_behind(database: Database) -> None:
    """A statement of a thousand values takes most of a MiB, and each number of them is another."""
    before = len(listing._SHAPES)
    for count in (SHAPE_VALUES_MAX + 1, SHAPE_VALUES_MAX + 2):
        assert ids(database, Listing(filters={"size": [2, *range(3, 2 + count)]})) == "ac"
    assert len(listing._SHAPES) == before


@pytest.mark.parametrize(
    ("sorts", "whole"),
    [
        ((Sort("name"),), "ceabd"),
        ((Sort("name", descending=True),), "dbaec"),
        ((Sort("size"), Sort("name", descending=True)), "dbeca"),
        ((Sort("id", descending=True),), "edcba"),
    ],
)
def test_pages_put_together_are_the_whole_in_its_order(
    database: Database, sorts: tuple[Sort, ...], whole: str
) -> None:
    assert ids(database, Listing(sorts=sorts)) == whole
    got, marker = "", None
    while chunk := ids(database, Listing(sorts=sorts, limit=2, marker=marker)):
        got, marker = got + chunk, chunk[-1]
    assert got == whole


def test_a_page_can_be_asked_for_backwards(database: Database) -> None:
    assert ids(database, Listing(limit=2, marker="d", page_reverse=True)) == "bc"


def test_a_marker_that_is_not_there_is_refused(database: Database) -> None:
    with pytest.raises(Invalid) as refused:
        ids(database, Listing(marker="zz"))
    assert refused.value.field == "marker"


def test_sorting_by_what_is_no_column_is_refused(database: Database) -> None:
    with pytest.raises(Invalid) as refused:
        ids(database, Listing(sorts=(Sort("colour"),)))
    assert refused.value.field == "sort_key"
