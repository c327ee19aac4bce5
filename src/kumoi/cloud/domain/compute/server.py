"""Servers: who may see which, and the changes that need no host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import address, pattern, quota, status
from kumoi.cloud.domain.host import aggregate
from kumoi.cloud.store.compute import server as store
from kumoi.cloud.store.compute import server_list
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.compute.server_list import ServerFilter
from kumoi.cloud.store.listing import Sort

Predicate = Callable[[Server], bool]
UNLOCK_OVERRIDE = "os_compute_api:os-lock-server:unlock:unlock_override"
TAGS_MAX = 50
_ANY_BUT_DELETING = (
    None,
    "powering-on",
    "powering-off",
    "pausing",
    "unpausing",
    "suspending",
    "resuming",
    "reboot_started",
    "reboot_started_hard",
    "rebuilding",
    status.TASK_SNAPSHOT,
    status.MIGRATING,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerQuery:
    """The filters and the order of a list of servers; a filter of None, or an empty one, lets all
    pass. `among` are columns with the values they may have; `name` and `ip` are regular expressions.
    """

    among: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    all_projects: bool = False
    deleted: bool | None = False
    changed_since: datetime | None = None
    changed_before: datetime | None = None
    name: str | None = None
    ip: str | None = None
    ip6: str | None = None
    statuses: Collection[str] = ()
    vm_states: Collection[str] = ()
    task_states: Collection[str] = ()
    power_states: Collection[int] = ()
    locked: bool | None = None
    zones: Collection[str] = ()
    tags: Collection[str] = ()
    tags_any: Collection[str] = ()
    not_tags: Collection[str] = ()
    not_tags_any: Collection[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    sorts: tuple[Sort, ...] = (Sort("created_at", descending=True),)
    marker: str | None = None
    limit: int = store.BATCH


def get(connection: Connection, caller: Caller, key: str, *, deleted: bool = False) -> Server:
    """Raises NotFound when there is no such server that the caller may see; with `deleted`, also one
    that is deleted may be seen.
    """
    row = store.get(connection, key)
    if row is None or (row.deleted and not deleted):
        raise NotFound("instance", key)
    caller.require("os_compute_api:servers:show", "instance", key, row.project_id)
    return row


def unlocked(connection: Connection, caller: Caller, key: str) -> Server:
    """A server that the caller may change. Raises NotFound, and Conflict while it is locked."""
    row = get(connection, caller, key)
    if row.locked_by and not caller.may(UNLOCK_OVERRIDE):
        raise Conflict(f"Instance {key} is locked")
    return row


def page(connection: Connection, caller: Caller, query: ServerQuery) -> list[Server]:
    """Raises Forbidden for other projects' servers, Invalid for a bad expression, key or marker."""
    if query.all_projects:
        caller.check("os_compute_api:servers:index:get_all_tenants")
    among = dict(query.among)
    if not query.all_projects:
        among["project_id"] = [caller.project_id or ""]
    where = ServerFilter(
        among=among,
        deleted=query.deleted,
        changed_since=query.changed_since,
        changed_before=query.changed_before,
    )
    if query.limit == 0:
        return []
    predicates = _predicates(query)
    if query.zones:
        placed = aggregate.zones(connection)
        predicates.append(lambda row: aggregate.zone_of(placed, row) in query.zones)
    by_address = query.ip is not None or query.ip6 is not None
    size = store.BATCH if predicates or by_address else query.limit
    found: list[Server] = []
    for rows in server_list.batches(connection, where, query.sorts, marker=query.marker, size=size):
        matching = [row for row in rows if all(holds(row) for holds in predicates)]
        found += _with_address(connection, matching, query) if by_address else matching
        if len(found) >= query.limit:
            break
    return found[: query.limit]


def rename(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> Server:
    """Change the name and other columns that a host need not act on."""
    row = unlocked(connection, caller, key)
    store.update(connection, row, now=now, **values)
    return get(connection, caller, key)


def put_metadata(
    connection: Connection, caller: Caller, key: str, items: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """Replace all metadata. Raises OverQuota."""
    row = unlocked(connection, caller, key)
    status.require(row, "update metadata", vm_states=status.ALIVE, tasks=_ANY_BUT_DELETING)
    require_metadata(connection, row.project_id, items)
    store.tell(connection, row, now=now, metadata=dict(items))
    return dict(items)


def add_metadata(
    connection: Connection, caller: Caller, key: str, items: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """Add to the metadata or change some of it; gives all of it."""
    row = unlocked(connection, caller, key)
    return put_metadata(connection, caller, key, row.metadata | dict(items), now)


def delete_metadata(
    connection: Connection, caller: Caller, key: str, name: str, now: datetime
) -> None:
    """Raises NotFound."""
    row = unlocked(connection, caller, key)
    if name not in row.metadata:
        raise NotFound("metadata item", name)
    left = {item: value for item, value in row.metadata.items() if item != name}
    put_metadata(connection, caller, key, left, now)


def put_tags(
    connection: Connection, caller: Caller, key: str, tags: Collection[str], now: datetime
) -> list[str]:
    """Replace all tags."""
    row = get(connection, caller, key)
    status.require(row, "update tags", vm_states=status.ALIVE, tasks=_ANY_BUT_DELETING)
    listed = sorted(set(tags))
    if len(listed) > TAGS_MAX:
        raise Invalid(f"The number of tags exceeded the per-server limit {TAGS_MAX}", field="tags")
    store.update(connection, row, now=now, tags=listed)
    return listed


def require_metadata(connection: Connection, project_id: str, items: Mapping[str, str]) -> None:
    """Raises OverQuota when there are more than the quota allows."""
    if items:
        quota.require(connection, project_id, "metadata_items", used=len(items), more=0)


def _predicates(query: ServerQuery) -> list[Predicate]:
    """The filters that the database does not apply, each as a condition on a row."""
    found: list[Predicate] = []
    if query.name is not None:
        has_name = pattern.finder(query.name, "name")
        found.append(lambda row: has_name(row.name))
    wanted_states: tuple[tuple[str, Collection[Any]], ...] = (
        ("status", query.statuses),
        ("vm_state", query.vm_states),
        ("task_state", query.task_states),
        ("power_state", query.power_states),
    )
    for word, wanted in wanted_states:
        if wanted:
            found.append(_state_is(word, frozenset(wanted)))
    if query.locked is not None:
        found.append(lambda row: bool(row.locked_by) is query.locked)
    if query.tags:
        found.append(lambda row: set(query.tags) <= set(row.tags))
    if query.tags_any:
        found.append(lambda row: not set(query.tags_any).isdisjoint(row.tags))
    if query.not_tags:
        found.append(lambda row: not set(query.not_tags) <= set(row.tags))
    if query.not_tags_any:
        found.append(lambda row: set(query.not_tags_any).isdisjoint(row.tags))
    if query.metadata:
        found.append(lambda row: query.metadata.items() <= row.metadata.items())
    return found


def _state_is(word: str, wanted: frozenset[Any]) -> Predicate:
    return lambda row: getattr(status.of(row), word) in wanted


def _with_address(connection: Connection, rows: list[Server], query: ServerQuery) -> list[Server]:
    """The servers with an address that matches the query's expressions."""
    wanted = [
        (version, pattern.finder(text, field_name))
        for version, text, field_name in ((4, query.ip, "ip"), (6, query.ip6, "ip6"))
        if text is not None
    ]
    addresses = address.of(connection, [row.id for row in rows]).addresses
    return [
        row
        for row in rows
        if any(
            shown.version == version and is_found(shown.address)
            for shown in addresses.get(row.id, ())
            for version, is_found in wanted
        )
    ]
