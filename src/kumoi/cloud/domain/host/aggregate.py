"""Host aggregates: groups of hosts that an administrator makes. One that names an availability zone
puts its hosts into that zone; the properties of all say which flavors' servers they may have.

A host is in one zone: in that of its aggregates, or in the default one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.domain.host.host import ZONE
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.host import aggregate as store
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.host.aggregate import Aggregate

ZONE_PROPERTY = "availability_zone"
_NOT_ADDED = "Cannot add host to aggregate {}. Reason:"
_IN_OTHER_ZONES = "One or more hosts already in availability zone(s)"
_PINNED = "The host has servers that were asked for in another availability zone."
SPEC_PREFIX = "aggregate_instance_extra_specs:"
"""What extra specs of flavors begin with that ask for properties of aggregates."""


def create(connection: Connection, name: str, zone: str | None, now: datetime) -> Aggregate:
    """Raises Conflict when another has the name."""
    _require_free(connection, name)
    number = store.next_number(connection)
    row = Aggregate(new_id(), number, name, zone, [], {}, now, None)
    store.insert(connection, row)
    return row


def every(connection: Connection) -> list[Aggregate]:
    return store.every(connection)


def get(connection: Connection, number: int) -> Aggregate:
    """Raises NotFound."""
    row = store.get(connection, number)
    if row is None:
        raise NotFound("aggregate", str(number), message=f"Aggregate {number} could not be found.")
    return row


def update(
    connection: Connection, number: int, values: Mapping[str, Any], now: datetime
) -> Aggregate:
    """Change the name or the zone. Raises Conflict for the name of another, Invalid for a zone that
    its hosts cannot be in.
    """
    row = get(connection, number)
    if "name" in values and values["name"] != row.name:
        _require_free(connection, values["name"])
    if "zone" in values and values["zone"] != row.zone:
        _require_movable(connection, row, values["zone"])
    store.update(connection, row.id, **values, updated_at=now)
    return get(connection, number)


def put_properties(
    connection: Connection, number: int, items: Mapping[str, str | None], now: datetime
) -> Aggregate:
    """Set those with a value, and remove those with None. Raises Invalid, as `update` does."""
    row = get(connection, number)
    values: dict[str, Any] = {}
    if ZONE_PROPERTY in items:
        values["zone"] = items[ZONE_PROPERTY]
    wanted = {**row.properties, **items}
    wanted.pop(ZONE_PROPERTY, None)
    values["properties"] = {name: value for name, value in wanted.items() if value is not None}
    return update(connection, number, values, now)


def add_host(connection: Connection, number: int, host_id: str, now: datetime) -> Aggregate:
    """Raises NotFound, and Conflict when the host is there already, or may not get into that zone."""
    row = get(connection, number)
    host_domain.get(connection, host_id)
    if host_id in row.hosts:
        raise Conflict(f"Aggregate {number} already has host {host_id}.")
    others = _other_zones(connection, row, [host_id])
    if row.zone is not None and others - {row.zone}:
        raise Conflict(f"{_NOT_ADDED.format(number)} {_IN_OTHER_ZONES} {sorted(others)}.")
    if row.zone is not None and _pinned_zones(connection, host_id) - {row.zone}:
        raise Conflict(f"{_NOT_ADDED.format(number)} {_PINNED}")
    store.update(connection, row.id, hosts=[*row.hosts, host_id], updated_at=now)
    return get(connection, number)


def remove_host(connection: Connection, number: int, host_id: str, now: datetime) -> Aggregate:
    """Raises NotFound, and Conflict where the host has servers that were asked for in its zone."""
    row = get(connection, number)
    host_domain.get(connection, host_id)
    if host_id not in row.hosts:
        raise NotFound("host", host_id, message=f"Aggregate {number} has no host {host_id}.")
    stays = _other_zones(connection, row, [host_id]) or {ZONE}
    if row.zone is not None and _pinned_zones(connection, host_id) - stays:
        raise Conflict(f"Cannot remove host from aggregate {number}. Reason: {_PINNED}")
    left = [name for name in row.hosts if name != host_id]
    store.update(connection, row.id, hosts=left, updated_at=now)
    return get(connection, number)


def delete(connection: Connection, number: int) -> None:
    """Raises NotFound, and Invalid while it has hosts."""
    row = get(connection, number)
    if row.hosts:
        raise Invalid(
            f"Cannot remove aggregate {number}. Reason: There are still hosts in it.", field="id"
        )
    store.delete(connection, row.id)


def zones(connection: Connection) -> dict[str, str]:
    """By host, for the hosts that are not in the default zone."""
    return {
        host_id: row.zone for row in store.every(connection) if row.zone for host_id in row.hosts
    }


def zone_of(placed: Mapping[str, str], server: Server) -> str:
    """The zone of a server's host, by what `zones` gives; of one without a host, the zone asked for."""
    return placed.get(server.host_id, ZONE) if server.host_id else server.zone or ""


def zone_names(connection: Connection) -> dict[str, bool]:
    """The zones that have hosts, and whether any of those takes new servers."""
    placed = zones(connection)
    found: dict[str, bool] = {}
    for row in host_store.every(connection):
        name = placed.get(row.id, ZONE)
        found[name] = found.get(name, False) or row.enabled
    return found


def allowed_hosts(
    connection: Connection, *, zone: str | None, extra_specs: Mapping[str, str]
) -> frozenset[str] | None:
    """The hosts that a server may have by its zone and its flavor; None is any host.

    For each extra spec `aggregate_instance_extra_specs:NAME=VALUE` one of the host's aggregates has
    the property with that value, or with a list of values, separated by commas, that has it.
    """
    wanted = {
        name.removeprefix(SPEC_PREFIX): value
        for name, value in extra_specs.items()
        if name.startswith(SPEC_PREFIX)
    }
    if zone is None and not wanted:
        return None
    rows = store.every(connection)
    placed = {host_id: row.zone for row in rows if row.zone for host_id in row.hosts}
    offered = _offered(rows)
    return frozenset(
        row.id
        for row in host_store.every(connection)
        if zone in (None, placed.get(row.id, ZONE))
        and all(value in offered[row.id][name] for name, value in wanted.items())
    )


def _offered(rows: Sequence[Aggregate]) -> Mapping[str, Mapping[str, set[str]]]:
    """The values of each property, by host."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        for host_id in row.hosts:
            for name, text in row.properties.items():
                found[host_id][name] |= {part.strip() for part in text.split(",")}
    return found


def _require_free(connection: Connection, name: str) -> None:
    if store.by_name(connection, name) is not None:
        raise Conflict(f"Aggregate {name} already exists.")


def _require_movable(connection: Connection, row: Aggregate, zone: str | None) -> None:
    refused = f"Cannot update aggregate {row.number}. Reason:"
    if not zone:
        raise Invalid(f"{refused} An availability zone has a name.", field=ZONE_PROPERTY)
    others = _other_zones(connection, row, row.hosts)
    if others - {zone}:
        raise Invalid(f"{refused} {_IN_OTHER_ZONES} {sorted(others)}.", field=ZONE_PROPERTY)
    if any(server_store.on_host(connection, host_id) for host_id in row.hosts):
        raise Invalid(
            f"{refused} One or more hosts contain instances in this zone.", field=ZONE_PROPERTY
        )


def _other_zones(connection: Connection, row: Aggregate, hosts: Collection[str]) -> set[str]:
    """The zones into which other aggregates put these hosts."""
    return {
        other.zone
        for other in store.every(connection)
        if other.id != row.id and other.zone and not set(hosts).isdisjoint(other.hosts)
    }


def _pinned_zones(connection: Connection, host_id: str) -> set[str]:
    """The zones that the owners of the host's servers asked for."""
    return {row.zone for row in server_store.on_host(connection, host_id) if row.zone}
