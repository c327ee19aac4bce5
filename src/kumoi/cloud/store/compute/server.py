"""Servers: the rows. The wanted and the observed state have columns of their own: the API writes the
first, reports of hosts the second, and neither the other's.

`Server` is a msgspec struct where other nouns are dataclasses: it takes its many columns by
position, which makes a list of a thousand servers several times faster.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.store import schema
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.listing import SHAPE_VALUES_MAX, Sort
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json, Timestamp
from kumoi.engine.memo import BoundedMap
from kumoi.engine.statement import Statement, limit

BATCH = 1_000
KIND = "server"
"""The kind of thing on a host that a server is; see hostapi/things.py."""


class Server(msgspec.Struct, frozen=True, gc=False):
    """A row. See the table for what the columns mean; the order is the same."""

    id: str
    project_id: str
    user_id: str
    name: str
    description: str | None
    hostname: str
    flavor_id: str
    flavor_name: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    ephemeral_gib: int
    swap_mib: int
    extra_specs: dict[str, str]
    image_id: str | None
    image: dict[str, Any] | None
    key_name: str | None
    ssh_keys: list[str]
    user_data: str | None
    metadata: dict[str, str]
    tags: list[str]
    config_drive: bool
    access_ipv4: str
    access_ipv6: str
    zone: str | None
    disk_config: str
    reservation_id: str
    launch_index: int
    group_id: str | None
    locked_by: str
    locked_reason: str | None
    driver: str
    host_id: str | None
    id_slot: int | None
    power: str
    generation: int
    boot: int
    hard_boot: int
    build: int
    state: str
    observed_generation: int
    observed_boot: int
    observed_hard_boot: int
    observed_build: int
    fault: str | None
    fault_at: datetime | None
    launched_at: datetime | None
    terminated_at: datetime | None
    created_at: datetime
    updated_at: datetime
    deleted: bool
    number: int = 0
    resized_from: dict[str, Any] | None = None
    reverted: int = 0
    rebuilt_from: dict[str, Any] | None = None
    rebuild_refused: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFilter:
    """Which rows: `among` maps a column to the values it may have; None does not matter."""

    among: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    deleted: bool | None = False
    changed_since: datetime | None = None
    changed_before: datetime | None = None


server = sa.Table(
    "server",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("project_id", ID, nullable=False),
    sa.Column("user_id", ID, nullable=False),
    sa.Column("name", NAME, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("hostname", NAME, nullable=False),
    # The flavor as it was when the server was made: what is claimed does not change with it.
    sa.Column("flavor_id", NAME, nullable=False),
    sa.Column("flavor_name", NAME, nullable=False),
    sa.Column("vcpus", sa.Integer, nullable=False),
    sa.Column("ram_mib", sa.Integer, nullable=False),
    sa.Column("disk_gib", sa.Integer, nullable=False),
    sa.Column("ephemeral_gib", sa.Integer, nullable=False),
    sa.Column("swap_mib", sa.Integer, nullable=False),
    sa.Column("extra_specs", Json, nullable=False),
    sa.Column("image_id", ID, index=True),
    sa.Column("image", Json),  # What a host must know of it: hash, size, format.
    sa.Column("key_name", NAME),
    sa.Column("ssh_keys", Json, nullable=False),
    sa.Column("user_data", sa.Text),
    sa.Column("metadata", Json, nullable=False),
    sa.Column("tags", Json, nullable=False),
    sa.Column("config_drive", sa.Boolean, nullable=False),
    sa.Column("access_ipv4", sa.String(64), nullable=False),
    sa.Column("access_ipv6", sa.String(64), nullable=False),
    sa.Column("zone", NAME),  # The availability zone asked for; null when none was.
    sa.Column("disk_config", sa.String(16), nullable=False),
    sa.Column("reservation_id", sa.String(32), nullable=False),
    sa.Column("launch_index", sa.Integer, nullable=False),
    sa.Column("group_id", ID, index=True),
    sa.Column("locked_by", sa.String(16), nullable=False),  # "owner", "admin" or nobody.
    sa.Column("locked_reason", NAME),
    sa.Column("driver", sa.String(16), nullable=False),
    # Wanted: written by the API.
    sa.Column("host_id", ID, index=True),
    sa.Column("id_slot", sa.Integer),
    sa.Column("power", sa.String(16), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("boot", sa.Integer, nullable=False),
    sa.Column("hard_boot", sa.Integer, nullable=False),
    sa.Column("build", sa.Integer, nullable=False),
    # Observed: written from the host's reports.
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("observed_generation", sa.Integer, nullable=False),
    sa.Column("observed_boot", sa.Integer, nullable=False),
    sa.Column("observed_hard_boot", sa.Integer, nullable=False),
    sa.Column("observed_build", sa.Integer, nullable=False),
    sa.Column("fault", sa.Text),
    sa.Column("fault_at", Timestamp),
    sa.Column("launched_at", Timestamp),
    sa.Column("terminated_at", Timestamp),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("updated_at", Timestamp, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),  # Counts up; the order in a tie of times.
    sa.Column("resized_from", Json),  # The columns of its flavor before a resize not yet confirmed.
    # The generation that takes a resize back; under way until the host has made it so.
    sa.Column("reverted", sa.Integer, nullable=False, server_default="0"),
    sa.Column("rebuilt_from", Json),  # What its disk was made from before the last rebuild.
    # Observed: the generation in which its host refused a rebuild and has the disk from before.
    sa.Column("rebuild_refused", sa.Integer, nullable=False, server_default="0"),
    sa.Index("ix_server_project_id_deleted", "project_id", "deleted"),
    sa.Index("ix_server_created_at", "created_at"),
)

HIDDEN = frozenset({"ssh_keys", "image", "rebuilt_from"})  # What no list shows.
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


def insert(connection: Connection, row: Server) -> None:
    schema.insert(connection, server, msgspec.structs.asdict(row))
    if row.host_id is not None:
        touch(connection, row.host_id, row.id)


def touch(connection: Connection, host_id: str, key: str) -> None:
    """Have the host look at this server again."""
    host_store.touch_thing(connection, host_id, KIND, key)


def touch_all(connection: Connection, servers: Iterable[tuple[str, str]]) -> None:
    """Have the hosts look at these servers again: the host and the server of each."""
    by_host: dict[str, list[str]] = {}
    for host_id, key in servers:
        by_host.setdefault(host_id, []).append(key)
    for host_id, keys in by_host.items():
        host_store.touch_things(connection, host_id, KIND, keys)


def get(connection: Connection, key: str) -> Server | None:
    """A deleted server too, as long as its row is there."""
    row = _BY_ID.row(connection, key=key)
    return None if row is None else Server(*row)


_BY_ID = Statement(sa.select(server).where(server.c.id == sa.bindparam("key")))


def several(connection: Connection, keys: Collection[str]) -> list[Server]:
    return _fetch(connection, sa.select(server).where(server.c.id.in_(list(keys))))


def on_host(connection: Connection, host_id: str) -> list[Server]:
    """The host's servers that are not deleted, ordered by id."""
    query = sa.select(server).where(server.c.host_id == host_id, server.c.deleted.is_(False))
    return _fetch(connection, query.order_by(server.c.id))


def in_group(connection: Connection, group_id: str) -> list[Server]:
    query = sa.select(server).where(server.c.group_id == group_id, server.c.deleted.is_(False))
    return _fetch(connection, query.order_by(server.c.number))


def update(connection: Connection, row: Server, *, now: datetime, **values: Any) -> None:
    """Change columns that no host reads."""
    schema.update(connection, server, row.id, values | {"updated_at": now})


def want(connection: Connection, row: Server, *, now: datetime, **values: Any) -> None:
    """Change wanted state: the row gets a new generation, and the host brings the change about."""
    changes = values | {"updated_at": now}
    schema.update(connection, server, row.id, changes, counted="generation")
    if row.host_id is not None:
        touch(connection, row.host_id, row.id)


def tell(connection: Connection, row: Server, *, now: datetime, **values: Any) -> None:
    """Change columns that the host reads and need not act on: the generation stays."""
    schema.update(connection, server, row.id, values | {"updated_at": now})
    if row.host_id is not None:
        touch(connection, row.host_id, row.id)


def observe(connection: Connection, row: Server, **values: Any) -> bool:
    """Write a host's report. False for one that came too late: the row has another host by now, or
    a newer report.
    """
    seen = {
        "of_id": row.id,
        "of_host_id": row.host_id,
        "most_generation": values["observed_generation"],
    }
    return _observation(tuple(values)).run(connection, {**values, **seen}) == 1


@functools.cache
def _observation(names: tuple[str, ...]) -> Statement:
    query = sa.update(server).where(
        server.c.id == sa.bindparam("of_id"),
        server.c.host_id == sa.bindparam("of_host_id"),
        server.c.observed_generation <= sa.bindparam("most_generation"),
    )
    return Statement(query, names)


def used_slots(connection: Connection, host_id: str) -> set[int]:
    return {slot for (slot,) in _USED_SLOTS.rows(connection, host=host_id)}


_USED_SLOTS = Statement(
    sa.select(server.c.id_slot).where(
        server.c.host_id == sa.bindparam("host"),
        server.c.id_slot.is_not(None),
        server.c.deleted.is_(False),
    )
)


def next_number(connection: Connection) -> int:
    newest = _NEWEST_NUMBER.row(connection)
    return 1 if newest is None else int(newest[0]) + 1


_NEWEST_NUMBER = Statement(
    sa.select(server.c.number).order_by(server.c.created_at.desc(), server.c.number.desc()).limit(1)
)


def usage(connection: Connection, project_id: str) -> tuple[int, int, int]:
    """Servers, vcpus and MiB of memory of a project."""
    ((servers, vcpus, ram_mib),) = _USAGE.rows(connection, project=project_id)
    return int(servers), int(vcpus), int(ram_mib)


_USAGE = Statement(
    sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(server.c.vcpus), 0),
        sa.func.coalesce(sa.func.sum(server.c.ram_mib), 0),
    ).where(server.c.project_id == sa.bindparam("project"), server.c.deleted.is_(False))
)


def uses_image(connection: Connection, host_id: str, image_id: str) -> bool:
    query = sa.select(server.c.id).where(
        server.c.image_id == image_id, server.c.host_id == host_id, server.c.deleted.is_(False)
    )
    return connection.execute(query.limit(1)).first() is not None


def stuck(connection: Connection, *, before: datetime) -> list[Server]:
    """The servers that have been building since before that time and show no fault."""
    query = sa.select(server).where(
        server.c.deleted.is_(False),
        server.c.state == "building",
        server.c.fault.is_(None),
        server.c.updated_at < before,
    )
    return _fetch(connection, query)


def unfinished_deletions(connection: Connection) -> list[Server]:
    query = sa.select(server).where(server.c.deleted.is_(False), server.c.power == "absent")
    return _fetch(connection, query.order_by(server.c.number).limit(BATCH))


def has_purgeable(connection: Connection, *, before: datetime) -> bool:
    query = sa.select(server.c.id).where(server.c.deleted, server.c.terminated_at < before)
    return connection.execute(query.limit(1)).first() is not None


def purge(connection: Connection, *, before: datetime) -> list[str]:
    """Forget rows deleted before that time; gives their ids."""
    query = sa.select(server.c.id).where(server.c.deleted, server.c.terminated_at < before)
    keys = list(connection.execute(query.limit(BATCH)).scalars())
    if keys:
        connection.execute(sa.delete(server).where(server.c.id.in_(keys)))
    return keys


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
