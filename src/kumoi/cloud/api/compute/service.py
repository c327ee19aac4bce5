"""Compute services, one a host, and availability zones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kumoi.base.errors import Invalid, NotFound
from kumoi.cloud.api.compute import rendering, shapes
from kumoi.cloud.api.compute.shapes import Flag, Text
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.host import aggregate
from kumoi.cloud.domain.host import host as domain
from kumoi.cloud.domain.host.host import ZONE
from kumoi.cloud.store.host.host import Host
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

BINARY = "nova-compute"
V_FORCED_DOWN = (2, 11)
V_UUID = (2, 53)


class ComputeServiceChanges(Body, kw_only=True):
    status: Text | Unset = UNSET
    disabled_reason: Text | Unset = UNSET
    forced_down: Flag | Unset = UNSET


class ServiceChangesBefore253(Body, kw_only=True):
    host: Text
    binary: Text
    disabled_reason: Text | Unset = UNSET
    forced_down: Flag | Unset = UNSET


def index(request: Request) -> Reply:
    """One `nova-compute` per host; the control plane's processes are not listed."""
    wanted_host, wanted_binary = request.query.get("host"), request.query.get("binary")
    with request.read() as connection:
        rows = domain.every(connection)
        placed = aggregate.zones(connection)
    shown = [
        _render(request, row, placed)
        for row in rows
        if wanted_host in (None, row.id) and wanted_binary in (None, BINARY)
    ]
    return Reply(200, {"services": shown})


def update(request: Request) -> Reply:
    """By UUID since 2.53; before that the last word of the path is a verb."""
    if request.microversion < V_UUID:
        return _update_by_verb(request)
    body = request.parse(ComputeServiceChanges)
    values = _values(body.status, body.disabled_reason, body.forced_down)
    with request.write() as connection:
        key = request.path["id"]
        row = next((row for row in domain.every(connection) if row.uuid == key), None)
        if row is None:
            raise NotFound("service", key, message=f"Service {key} could not be found.")
        changed = domain.change(connection, row.id, values, request.services.clock.now())
        placed = aggregate.zones(connection)
    return Reply(200, {"service": _render(request, changed, placed)})


def _update_by_verb(request: Request) -> Reply:
    """Until 2.52: enable, disable, disable-log-reason, force-down."""
    body, verb = request.parse(ServiceChangesBefore253), request.path["id"]
    words: dict[str, str | Unset] = {
        "enable": "enabled",
        "disable": "disabled",
        "disable-log-reason": "disabled",
        "force-down": UNSET,
    }
    if verb not in words:
        raise NotFound("action", verb, message="Unknown action")
    values = _values(words[verb], body.disabled_reason, body.forced_down)
    with request.write() as connection:
        row = domain.get(connection, body.host)
        changed = domain.change(connection, row.id, values, request.services.clock.now())
    shown: dict[str, Any] = {"host": changed.id, "binary": BINARY}
    if verb == "force-down":
        shown["forced_down"] = changed.forced_down
    else:
        shown["status"] = "enabled" if changed.enabled else "disabled"
    if verb == "disable-log-reason":
        shown["disabled_reason"] = changed.disabled_reason
    return Reply(200, {"service": shown})


def zones(request: Request) -> Reply:
    with request.read() as connection:
        found = aggregate.zone_names(connection)
    return Reply(200, {"availabilityZoneInfo": [_zone(*item, None) for item in found.items()]})


def zones_detail(request: Request) -> Reply:
    """With the hosts of each."""
    with request.read() as connection:
        rows = domain.every(connection)
        found = aggregate.zone_names(connection)
        placed = aggregate.zones(connection)
    hosts: dict[str, dict[str, Any]] = {name: {} for name in found}
    for row in rows:
        hosts[placed.get(row.id, ZONE)][row.id] = {
            BINARY: {
                "available": row.is_up,
                "active": row.enabled,
                "updated_at": rendering.precise(row.seen_at),
            }
        }
    shown = [_zone(name, available, hosts[name]) for name, available in found.items()]
    return Reply(200, {"availabilityZoneInfo": shown})


def _zone(name: str, available: bool, hosts: dict[str, Any] | None) -> dict[str, Any]:
    return {"zoneName": name, "zoneState": {"available": available}, "hosts": hosts}


def _values(status: str | Unset, reason: str | Unset, forced_down: Flag | Unset) -> dict[str, Any]:
    """The host's columns to change. Raises Invalid."""
    values: dict[str, Any] = {}
    if status is not UNSET:
        if status not in ("enabled", "disabled"):
            raise shapes.invalid("status", status, "it is not one of ['enabled', 'disabled']")
        values["enabled"] = status == "enabled"
        values["disabled_reason"] = "" if reason is UNSET else reason
    elif reason is not UNSET:
        raise Invalid("A reason goes with status disabled only.", field="disabled_reason")
    if forced_down is not UNSET:
        values["forced_down"] = shapes.flag(forced_down, "forced_down")
    if not values:
        raise Invalid("Nothing to change was given.", field="status")
    return values


def _render(request: Request, row: Host, placed: Mapping[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.uuid if request.microversion >= V_UUID else row.number,
        "binary": BINARY,
        "host": row.id,
        "zone": placed.get(row.id, ZONE),
        "status": "enabled" if row.enabled else "disabled",
        "state": "up" if row.is_up else "down",
        "updated_at": rendering.precise(row.seen_at),
        "disabled_reason": row.disabled_reason or None,
    }
    if request.microversion >= V_FORCED_DOWN:
        shown["forced_down"] = row.forced_down
    return shown
