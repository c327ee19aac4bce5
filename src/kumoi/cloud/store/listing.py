"""Filter, sort and page any table, in one way.

A page goes on after a marker by comparing sort keys, not by counting rows: it neither repeats nor
skips what did not change meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.store.schema import Noun, fetch


@dataclass(frozen=True, slots=True)
class Sort:
    key: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list request asks for. `filters` maps a column to the values it may have; `limit` of
    None is no limit; `marker` is the id of the last thing already seen.
    """

    filters: dict[str, Sequence[Any]] = field(default_factory=dict)
    sorts: tuple[Sort, ...] = ()
    limit: int | None = None
    marker: str | None = None
    page_reverse: bool = False


def page(
    connection: Connection,
    table: sa.Table,
    noun: type[Noun],
    listing: Listing,
    *conditions: sa.ColumnElement[bool],
) -> list[Noun]:
    """The rows of one page as nouns; `conditions` are what the caller may see at all.

    Raises Invalid (field `marker`) when the marker is not there, (field `sort_key`) when it is not
    a column.
    """
    query = sa.select(table).where(*conditions)
    for column, values in listing.filters.items():
        query = query.where(table.c[column].in_(list(values)))
    sorts = _sorts(table, listing)
    if listing.marker is not None:
        query = query.where(_after(connection, table, sorts, listing.marker, conditions))
    query = query.order_by(*(_ordered(table.c[sort.key], sort) for sort in sorts))
    if listing.limit is not None:
        query = query.limit(listing.limit)
    rows = fetch(connection, query, noun)
    return rows[::-1] if listing.page_reverse else rows


def _sorts(table: sa.Table, listing: Listing) -> tuple[Sort, ...]:
    """The wanted keys and, so that the order is total, the id; turned round to page backwards."""
    for sort in listing.sorts:
        if sort.key not in table.c:
            raise Invalid(f"cannot sort by {sort.key}", field="sort_key")
    sorts = listing.sorts
    if all(sort.key != "id" for sort in sorts):
        last = sorts[-1].descending if sorts else False
        sorts = (*sorts, Sort("id", descending=last))
    if listing.page_reverse:
        sorts = tuple(Sort(sort.key, not sort.descending) for sort in sorts)
    return sorts


def _after(
    connection: Connection,
    table: sa.Table,
    sorts: Sequence[Sort],
    marker: str,
    conditions: Sequence[sa.ColumnElement[bool]],
) -> sa.ColumnElement[bool]:
    """Beyond the marker, which must be one that the caller may see: what comes before and after
    another's would tell of it.
    """
    query = sa.select(table).where(table.c.id == marker, *conditions)
    last = connection.execute(query).mappings().first()
    if last is None:
        raise Invalid(f"marker {marker} could not be found", field="marker")
    cases: list[sa.ColumnElement[bool]] = []
    same: list[sa.ColumnElement[bool]] = []
    for sort in sorts:
        column, value = table.c[sort.key], last[sort.key]
        if value is None:  # NULLs sort first, as SQLite does; see _ordered.
            if not sort.descending:
                cases.append(sa.and_(*same, column.is_not(None)))
            same.append(column.is_(None))
            continue
        beyond = column < value if sort.descending else column > value
        cases.append(
            sa.and_(*same, sa.or_(beyond, column.is_(None)) if sort.descending else beyond)
        )
        same.append(column == value)
    return sa.or_(*cases)


def _ordered(column: sa.Column[Any], sort: Sort) -> sa.UnaryExpression[Any]:
    return column.desc().nulls_last() if sort.descending else column.asc().nulls_first()
