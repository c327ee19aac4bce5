"""Lists of servers: filters, orders and pages. What a list of a thousand needs is kept ready."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.store.compute.server import BATCH, Server, get, server
from kumoi.cloud.store.listing import SHAPE_VALUES_MAX, Sort
from kumoi.engine.memo import BoundedMap
from kumoi.engine.statement import Statement, limit

HIDDEN = frozenset({"ssh_keys", "image", "rebuilt_from", "files"})  # What no list shows.
SHAPES_MAX = 256  # Of lists that are asked for.
_KNOWN: BoundedMap[tuple[Any, ...], Server] = BoundedMap()
_Order = Sequence[tuple[sa.Column[Any], bool]]
_LISTED = [sa.null().label(column.name) if column.name in HIDDEN else column for column in server.c]

SORT_KEYS = {name: name for name in server.c.keys()} | {  # noqa: SIM118 - a collection, no dict
    "uuid": "id",
    "display_name": "name",
    "display_description": "description",
    "host": "host_id",
    "node": "host_id",
    "instance_type_id": "flavor_id",
    "image_ref": "image_id",
    "access_ip_v4": "access_ipv4",
    "access_ip_v6": "access_ipv6",
    "vm_state": "state",
    "task_state": "power",
    "power_state": "state",
    "availability_zone": "zone",
    "root_device_name": "id",
    "locked": "locked_by",
    "auto_disk_config": "disk_config",
    "progress": "id",
    "kernel_id": "id",
    "ramdisk_id": "id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFilter:
    """Which rows: `among` maps a column to the values it may have; None does not matter."""

    among: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    deleted: bool | None = False
    changed_since: datetime | None = None
    changed_before: datetime | None = None


def batches(
    connection: Connection,
    where: ServerFilter,
    sorts: Sequence[Sort],
    *,
    marker: str | None,
    size: int,
) -> Iterator[list[Server]]:
    """Rows in order, `size` at a time (at most BATCH), until there are no more. The columns that no
    list shows (HIDDEN) are None there.

    Raises Invalid (field `sort_key`, `marker`).
    """
    order = _order(sorts)
    last = None if marker is None else _marker(connection, where, marker)
    if marker is not None and last is None:
        raise Invalid(f"marker [{marker}] not found", field="marker")
    size = min(size, BATCH)
    while True:
        if last is None and sum(map(len, where.among.values())) <= SHAPE_VALUES_MAX:
            rows = _first(connection, where, order, size)
        else:
            query = sa.select(*_LISTED).where(*_conditions(where))
            if last is not None:
                query = query.where(_after(order, last))
            rows = _fetch(connection, query.order_by(*_ordered(order)).limit(size))
        yield rows
        if len(rows) < size:
            return
        last = rows[-1]


def that_ran(
    connection: Connection,
    *,
    project_id: str | None,
    start: datetime,
    stop: datetime,
    marker: str | None,
    limit: int,
) -> list[Server]:
    """The servers of one project, or of all, that ran at some time between the two, also those deleted whose
    rows are still there: `limit` of them by project and id, after the marker.

    Raises Invalid (field `marker`) for one that is not among them.
    """
    conditions = [
        server.c.launched_at < stop,
        sa.or_(
            server.c.terminated_at.is_(None),
            sa.and_(server.c.terminated_at > start, server.c.terminated_at > server.c.launched_at),
        ),
    ]
    if project_id is not None:
        conditions.append(server.c.project_id == project_id)
    query = sa.select(*_LISTED).where(*conditions)
    if marker is not None:
        rows = _fetch(connection, query.where(server.c.id == marker))
        if not rows:
            raise Invalid(f"marker [{marker}] not found", field="marker")
        last = sa.tuple_(sa.literal(rows[0].project_id), sa.literal(rows[0].id))
        query = query.where(sa.tuple_(server.c.project_id, server.c.id) > last)
    return _fetch(connection, query.order_by(server.c.project_id, server.c.id).limit(limit))


def _first(connection: Connection, where: ServerFilter, order: _Order, size: int) -> list[Server]:
    """The first batch, which most lists are: its statement is compiled once, and a server that has
    not changed is the same object as before (engine/memo.py).
    """
    times = {"since": where.changed_since, "before": where.changed_before}
    given: dict[str, Any] = {name: at for name, at in times.items() if at is not None}
    counts = tuple((name, len(values)) for name, values in where.among.items())
    statement = _first_of(counts, where.deleted, tuple(given), tuple(order))
    for name, values in where.among.items():
        given |= {f"{name}_{place}": value for place, value in enumerate(values)}
    return statement.nouns(connection, {**given, "size": size}, _server, _KNOWN)


@functools.lru_cache(maxsize=SHAPES_MAX)
def _first_of(
    counts: tuple[tuple[str, int], ...],
    deleted: bool | None,
    times: tuple[str, ...],
    order: _Order,
) -> Statement:
    among = {
        name: [_place(f"{name}_{place}", server.c[name]) for place in range(count)]
        for name, count in counts
    }
    since, before = (
        _place(name, server.c.updated_at) if name in times else None for name in ("since", "before")
    )
    where = ServerFilter(among=among, deleted=deleted, changed_since=since, changed_before=before)
    query = sa.select(*_LISTED).where(*_conditions(where)).order_by(*_ordered(order))
    return Statement(query.limit(limit("size")))


def _place(name: str, column: sa.Column[Any]) -> Any:
    """A parameter where a filter has a value."""
    return sa.bindparam(name, type_=column.type, required=True)


def _marker(connection: Connection, where: ServerFilter, key: str) -> Server | None:
    """The row to continue after. None for one of another project: the rows around it would reveal
    something of it.
    """
    row = get(connection, key)
    projects = where.among.get("project_id")
    return row if row and (projects is None or row.project_id in projects) else None


def _conditions(where: ServerFilter) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = [
        server.c[name].in_(list(values)) for name, values in where.among.items()
    ]
    if where.deleted is not None:
        found.append(server.c.deleted.is_(where.deleted))
    if where.changed_since is not None:
        found.append(server.c.updated_at >= where.changed_since)
    if where.changed_before is not None:
        found.append(server.c.updated_at <= where.changed_before)
    return found


def _order(sorts: Sequence[Sort]) -> list[tuple[sa.Column[Any], bool]]:
    """The columns of the sort keys, then number and id, so that the order is total."""
    order: list[tuple[sa.Column[Any], bool]] = []
    for sort in sorts:
        if sort.key not in SORT_KEYS:
            raise Invalid(f"Sort key supplied is invalid: {sort.key}", field="sort_key")
        column = server.c[SORT_KEYS[sort.key]]
        if column.name not in {known.name for known, _ in order}:
            order.append((column, sort.descending))
    last = order[-1][1] if order else True
    known = {column.name for column, _ in order}
    ends = (end for end in (server.c.number, server.c.id) if end.name not in known)
    return [*order, *((end, last) for end in ends)]


def _after(order: _Order, last: Server) -> sa.ColumnElement[bool]:
    cases: list[sa.ColumnElement[bool]] = []
    same: list[sa.ColumnElement[bool]] = []
    for column, descending in order:
        value = getattr(last, column.name)
        if value is None:
            if not descending:
                cases.append(sa.and_(*same, column.is_not(None)))
            same.append(column.is_(None))
            continue
        beyond = sa.or_(column < value, column.is_(None)) if descending else column > value
        cases.append(sa.and_(*same, beyond))
        same.append(column == value)
    return sa.or_(*cases)


def _ordered(order: _Order) -> list[sa.UnaryExpression[Any]]:
    return [
        column.desc().nulls_last() if descending else column.asc().nulls_first()
        for column, descending in order
    ]


def _server(row: tuple[Any, ...]) -> Server:
    return Server(*row)


def _fetch(connection: Connection, query: sa.Select[Any]) -> list[Server]:
    return [Server(*row) for row in connection.execute(query)]
