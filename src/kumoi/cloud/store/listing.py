"""Filter, sort and page any table, in one way.

A page goes on after a marker by comparing sort keys, not by counting rows: it neither repeats nor
skips what did not change meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.store.schema import Noun, Nouns, Where, fetch
from kumoi.engine.memo import BoundedMap
from kumoi.engine.statement import limit

Condition = sa.ColumnElement[bool] | Where


@dataclass(frozen=True, slots=True)
class Sort:
    key: str
    descending: bool = False


class Comparator(StrEnum):
    """How a text is compared with a part of it. Keystone's words."""

    CONTAINS = "contains"
    STARTS_WITH = "startswith"
    ENDS_WITH = "endswith"


@dataclass(frozen=True, slots=True)
class PartFilter:
    """A column whose text has a certain part."""

    column: str
    comparator: Comparator
    part: str
    case_sensitive: bool = True

    def condition(self, table: sa.Table) -> sa.ColumnElement[bool]:
        """Without LIKE, which minds the case on one of the two databases only."""
        text: sa.ColumnElement[str] = table.c[self.column]
        part: sa.ColumnElement[str] = sa.literal(self.part)
        if not self.case_sensitive:
            text, part = sa.func.lower(text), sa.func.lower(part)
        if self.comparator is Comparator.CONTAINS:
            return sa.func.replace(text, part, "") != text if self.part else text.is_not(None)
        length = sa.func.length(part)
        if self.comparator is Comparator.STARTS_WITH:
            return sa.func.substr(text, 1, length) == part
        first = sa.func.length(text) - length + 1
        return sa.and_(first >= 1, sa.func.substr(text, first) == part)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list request asks for. `filters` maps a column to the values it may have; `limit` of
    None is no limit; `marker` is the id of the last thing already seen.
    """

    parts: tuple[PartFilter, ...] = ()
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
    *conditions: Condition,
) -> list[Noun]:
    """The rows of one page as nouns; `conditions` are what the caller may see at all. Where each of
    them is a Where, a page without a marker is a statement that was compiled before, unless its
    filters have many values.

    Raises Invalid (field `marker`) when the marker is not there, (field `sort_key`) when it is not
    a column.
    """
    sorts = _sorts(table, listing)
    if not all(listing.filters.values()):
        return []  # A column that may have none of any value.
    conditions = (*conditions, *(part.condition(table) for part in listing.parts))
    wheres = [condition for condition in conditions if isinstance(condition, Where)]
    count = sum(len(values) for values in listing.filters.values())
    if listing.marker is None and len(wheres) == len(conditions) and count <= SHAPE_VALUES_MAX:
        nouns, values = _shape(table, noun, listing, sorts, wheres)
        rows = nouns.all(connection, **values)
    else:
        built = [
            condition.build().params(**condition.values)
            if isinstance(condition, Where)
            else condition
            for condition in conditions
        ]
        query = sa.select(table).where(*built)
        for column, wanted in listing.filters.items():
            query = query.where(table.c[column].in_(list(wanted)))
        if listing.marker is not None:
            query = query.where(_after(connection, table, sorts, listing.marker, built))
        query = query.order_by(*(_ordered(table.c[sort.key], sort) for sort in sorts))
        rows = fetch(connection, query.limit(listing.limit), noun)
    return rows[::-1] if listing.page_reverse else rows


def _shape(
    table: sa.Table,
    noun: type[Noun],
    listing: Listing,
    sorts: tuple[Sort, ...],
    wheres: Sequence[Where],
) -> tuple[Nouns[Noun], dict[str, Any]]:
    """The query of a first page, and its parameters. Which conditions, filters of how many values
    and sorts make its shape, of which each is compiled once.
    """
    parameters: dict[str, Any] = {}
    for where in wheres:
        parameters |= where.values
    for column, values in listing.filters.items():
        parameters |= {_place(column, place): value for place, value in enumerate(values)}
    counts = tuple((column, len(values)) for column, values in listing.filters.items())
    bounded = listing.limit is not None
    key = (table.name, noun, tuple(where.name for where in wheres), counts, sorts, bounded)
    nouns = _SHAPES.get(key)
    if nouns is None:
        query = sa.select(table).where(*(where.build() for where in wheres))
        for column, count in counts:
            named = (_place(column, place) for place in range(count))
            kind = table.c[column].type
            places = [sa.bindparam(name, type_=kind, required=True) for name in named]
            query = query.where(table.c[column].in_(places))
        query = query.order_by(*(_ordered(table.c[sort.key], sort) for sort in sorts))
        if bounded:
            query = query.limit(limit("page_limit"))
        if len(_SHAPES) >= SHAPES_MAX:
            _SHAPES.clear()
        known = _KNOWN.setdefault((table.name, noun), BoundedMap())
        nouns = _SHAPES[key] = Nouns(query, noun, known)
    if bounded:
        parameters["page_limit"] = listing.limit
    return nouns, parameters


def _place(column: str, place: int) -> str:
    """The name of a filter's value; SQLAlchemy itself names a condition's value `<column>_<n>`."""
    return f"among_{column}_{place}"


SHAPES_MAX = 1_000  # Of lists that are asked for; a few KiB each,
SHAPE_VALUES_MAX = 64  # and most of a KiB more for each value that a filter has.
_KNOWN: dict[tuple[str, Any], BoundedMap[tuple[Any, ...], Any]] = {}
_SHAPES: dict[tuple[Any, ...], Nouns[Any]] = {}


def _sorts(table: sa.Table, listing: Listing) -> tuple[Sort, ...]:
    """The wanted keys, each once, as nothing is left for a second time, and, so that the order is total, the id;
    turned round to page backwards.
    """
    for sort in listing.sorts:
        if sort.key not in table.c:
            raise Invalid(f"cannot sort by {sort.key}", field="sort_key")
    wanted: dict[str, Sort] = {}
    for sort in listing.sorts:
        wanted.setdefault(sort.key, sort)
    sorts = tuple(wanted.values())
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
