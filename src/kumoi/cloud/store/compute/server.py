"""Servers: the rows. The wanted and the observed state have columns of their own: the API writes the
first, reports of hosts the second, and neither the other's.

`Server` is a msgspec struct where other nouns are dataclasses: it takes its many columns by
position, which makes a list of a thousand servers several times faster.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.engine.db import Json, Timestamp
from kumoi.engine.statement import Statement

BATCH = 1_000
OFFLOADED = "offloaded"
"""The step of shelving in which nothing is under way."""
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
    suspended: bool = False
    imaging: bool = False
    files: list[dict[str, str]] | None = None
    rescue: dict[str, Any] | None = None
    unrescued: int = 0
    shelf: str = ""
    shelved: dict[str, Any] | None = None
    moving: str = ""
    move: dict[str, Any] | None = None
    move_host_id: str | None = None
    arrival: dict[str, Any] | None = None
    port_use: dict[str, Any] | None = None
    fenced: bool = False


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
    sa.Column("suspended", sa.Boolean, nullable=False, server_default=sa.false()),  # If paused.
    # Whether an image is being made of its disk; the images themselves are snapshot.py's.
    sa.Column("imaging", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("files", Json),  # To be written into a new disk: path and contents, in Base64.
    sa.Column("rescue", Json),  # The image that it is started from in place of its disk.
    # The generation that ends a rescue; under way until the host has made it so.
    sa.Column("unrescued", sa.Integer, nullable=False, server_default="0"),
    # The step in which its shelving is, and what the steps need; see domain/compute/shelve.py.
    sa.Column("shelf", sa.String(16), nullable=False, server_default=""),
    sa.Column("shelved", Json),
    # The step in which its move to another host is, what the steps need, and the other of the two hosts; see
    # domain/compute/move.py.
    sa.Column("moving", sa.String(16), nullable=False, server_default="", index=True),
    sa.Column("move", Json),
    sa.Column("move_host_id", ID, index=True),
    # Observed: how far its disk has come, and who uses its ports while it moves.
    sa.Column("arrival", Json),
    sa.Column("port_use", Json),
    # Observed: its host stops it when the host's lease has ended.
    sa.Column("fenced", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_server_project_id_deleted", "project_id", "deleted"),
    sa.Index("ix_server_created_at", "created_at"),
)


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


def moving_by(connection: Connection, host_id: str) -> list[Server]:
    """Those that are this host's and another's while they move, ordered by id."""
    query = sa.select(server).where(server.c.move_host_id == host_id, server.c.deleted.is_(False))
    return _fetch(connection, query.order_by(server.c.id))


def hosts_with_fenced(connection: Connection) -> list[str]:
    """The hosts that have servers which they stop when their lease has ended."""
    query = sa.select(server.c.host_id).where(server.c.fenced, server.c.deleted.is_(False))
    return [host_id for (host_id,) in connection.execute(query.distinct()) if host_id is not None]


def in_group(connection: Connection, group_id: str) -> list[Server]:
    query = sa.select(server).where(server.c.group_id == group_id, server.c.deleted.is_(False))
    return _fetch(connection, query.order_by(server.c.number))


def update(connection: Connection, row: Server, *, now: datetime, **values: Any) -> None:
    """Change columns that no host reads."""
    schema.update(connection, server, row.id, _unfenced(values) | {"updated_at": now})


def want(connection: Connection, row: Server, *, now: datetime, **values: Any) -> None:
    """Change wanted state: the row gets a new generation, and the host brings the change about."""
    changes = _unfenced(values) | {"updated_at": now}
    schema.update(connection, server, row.id, changes, counted="generation")
    if row.host_id is not None:
        touch(connection, row.host_id, row.id)


def tell(connection: Connection, row: Server, *, now: datetime, **values: Any) -> None:
    """Change columns that the host reads and need not act on: the generation stays."""
    schema.update(connection, server, row.id, values | {"updated_at": now})
    if row.host_id is not None:
        touch(connection, row.host_id, row.id)


def _unfenced(values: dict[str, Any]) -> dict[str, Any]:
    """Another host has not said yet that it would stop the server."""
    return {"fenced": False, **values} if "host_id" in values else values


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


def disk_gib(connection: Connection, project_id: str) -> int:
    """Of all servers of a project, as their flavors say."""
    ((found,),) = _DISK.rows(connection, project=project_id)
    return int(found)


_DISK = Statement(
    sa.select(sa.func.coalesce(sa.func.sum(server.c.disk_gib), 0)).where(
        server.c.project_id == sa.bindparam("project"), server.c.deleted.is_(False)
    )
)


def uses_image(connection: Connection, host_id: str, image_id: str) -> bool:
    """Whether a server of that host is made from the image, or is to be rescued with it."""
    return any(
        image_id in (row.image_id, *(image["id"] for image in (row.image, row.rescue) if image))
        for row in (*on_host(connection, host_id), *moving_by(connection, host_id))
    )


def stuck(connection: Connection, *, before: datetime) -> list[Server]:
    """The servers that have been building since before that time and show no fault."""
    query = sa.select(server).where(
        server.c.deleted.is_(False),
        server.c.state == "building",
        server.c.fault.is_(None),
        server.c.updated_at < before,
    )
    return _fetch(connection, query)


def being_shelved(connection: Connection) -> list[Server]:
    """The servers whose shelving, or its end, is under way."""
    query = sa.select(server).where(server.c.shelf.not_in(["", OFFLOADED]), ~server.c.deleted)
    return _fetch(connection, query.order_by(server.c.number).limit(BATCH))


def in_steps(connection: Connection, steps: Collection[str]) -> list[Server]:
    """The servers whose moves are in one of these steps."""
    query = sa.select(server).where(server.c.moving.in_(list(steps)), ~server.c.deleted)
    return _fetch(connection, query)


def being_moved(connection: Connection) -> list[Server]:
    """The servers that are on their way from one host to another."""
    query = sa.select(server).where(server.c.moving != "", ~server.c.deleted)
    return _fetch(connection, query.order_by(server.c.number).limit(BATCH))


def being_imaged(connection: Connection) -> list[Server]:
    query = sa.select(server).where(server.c.imaging, ~server.c.deleted)
    return _fetch(connection, query.order_by(server.c.number).limit(BATCH))


def unfinished_deletions(connection: Connection) -> list[Server]:
    query = sa.select(server).where(server.c.deleted.is_(False), server.c.power == "absent")
    return _fetch(connection, query.order_by(server.c.number).limit(BATCH))


def purgeable(connection: Connection, *, before: datetime, kept: int) -> list[str]:
    """Ids of rows that were deleted before that time, and of a project's that are older than its newest `kept`."""
    gone = sa.select(server.c.id).where(server.c.deleted)
    old = gone.where(server.c.terminated_at < before).limit(BATCH)
    found = list(connection.execute(old).scalars())
    by_project = sa.select(server.c.project_id).where(server.c.deleted)
    crowded = by_project.group_by(server.c.project_id).having(sa.func.count() > kept)
    for project_id in list(connection.execute(crowded).scalars()):
        newest_first = gone.where(server.c.project_id == project_id).order_by(
            server.c.terminated_at.desc(), server.c.id
        )
        found += connection.execute(newest_first.offset(kept).limit(BATCH)).scalars()
    return list(dict.fromkeys(found))[:BATCH]


def purge(connection: Connection, keys: Collection[str]) -> None:
    connection.execute(sa.delete(server).where(server.c.id.in_(list(keys))))


def _fetch(connection: Connection, query: sa.Select[Any]) -> list[Server]:
    return [Server(*row) for row in connection.execute(query)]
