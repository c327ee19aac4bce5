"""Hosts as Nova's hypervisors. Since 2.53 their id is a UUID."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound, Unsupported
from kumoi.cloud.api.compute import rendering, shapes
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.host import host as domain
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.host.host import Host
from kumoi.engine.http.request import Reply

V_CPU_INFO_OBJECT = (2, 28)
V_PAGES = (2, 33)
V_UUID = (2, 53)
V_ALWAYS_SERVERS = (2, 75)
V_NO_STATISTICS = (2, 88)
UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 - what an agent of an older version does not tell


def index(request: Request) -> Reply:
    return _list(request, detail=False)


def detail(request: Request) -> Reply:
    return _list(request, detail=True)


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = _get(connection, request, request.path["id"])
        shown = _detail(request, found)
        if _with_servers(request):
            shown |= _servers(connection, request, found)
    return Reply(200, {"hypervisor": shown})


def uptime(request: Request) -> Reply:
    """Until 2.87. Raises Unsupported for a host that does not tell it."""
    with request.read() as connection:
        found = _get(connection, request, request.path["id"])
    text = _uptime(found, request.services.clock.now())
    if text is None:
        raise Unsupported("The host's agent is of a release that does not tell it.")
    return Reply(200, {"hypervisor": _brief(request, found) | {"uptime": text}})


def search(request: Request) -> Reply:
    """The hypervisors whose name contains a text; until 2.52."""
    with request.read() as connection:
        found = _named(connection, request.path["id"])
    return Reply(200, {"hypervisors": [_brief(request, row) for row in found]})


def servers(request: Request) -> Reply:
    """The same with their servers; until 2.52."""
    with request.read() as connection:
        found = _named(connection, request.path["id"])
        shown = [_brief(request, row) | _servers(connection, request, row) for row in found]
    return Reply(200, {"hypervisors": shown})


def statistics(request: Request) -> Reply:
    """The sums over all hosts; until 2.87."""
    with request.read() as connection:
        rows = domain.every(connection)
    shown = [_statistics(row) for row in rows]
    totals = {name: sum(statistics[name] for statistics in shown) for name in _STATISTICS}
    return Reply(200, {"hypervisor_statistics": {"count": len(rows), **totals}})


def _list(request: Request, *, detail: bool) -> Reply:
    paged = request.microversion >= V_PAGES
    most = rendering.limit(request) if paged else rendering.PAGE_MAX
    pattern = request.query.get("hypervisor_hostname_pattern")
    with request.read() as connection:
        rows = _named(connection, pattern) if pattern else domain.every(connection)
        rows = _after_marker(request, rows)[:most]
        shown = [_detail(request, row) if detail else _brief(request, row) for row in rows]
        if _with_servers(request):
            for hypervisor, row in zip(shown, rows, strict=True):
                hypervisor.update(_servers(connection, request, row))
    ids = [str(_id(request, row)) for row in rows]
    return Reply(200, rendering.page(request, "hypervisors", shown, ids, most if paged else 0))


def _with_servers(request: Request) -> bool:
    raw = request.query.get("with_servers")
    known = request.microversion >= V_UUID
    return known and raw is not None and shapes.flag(raw, "with_servers")


def _after_marker(request: Request, rows: list[Host]) -> list[Host]:
    marker = request.query.get("marker")
    if marker is None or request.microversion < V_PAGES:
        return rows
    for index, row in enumerate(rows):
        if str(_id(request, row)) == marker:
            return rows[index + 1 :]
    raise shapes.invalid("marker", marker, f"marker [{marker}] not found")


def _get(connection: Connection, request: Request, key: str) -> Host:
    for row in domain.every(connection):
        if str(_id(request, row)) == key:
            return row
    raise NotFound("hypervisor", key, message=f"Compute host {key} could not be found.")


def _named(connection: Connection, pattern: str) -> list[Host]:
    found = [row for row in domain.every(connection) if pattern in row.id]
    if not found:
        raise NotFound("hypervisor", pattern, message=f"No hypervisor matching '{pattern}' found.")
    return found


def _id(request: Request, row: Host) -> str | int:
    return row.uuid if request.microversion >= V_UUID else row.number


def _brief(request: Request, row: Host) -> dict[str, Any]:
    return {
        "id": _id(request, row),
        "hypervisor_hostname": row.id,
        "state": "up" if row.is_up else "down",
        "status": "enabled" if row.enabled else "disabled",
    }


def _detail(request: Request, row: Host) -> dict[str, Any]:
    shown = _brief(request, row) | {
        # Its first driver, as clients write it; empty until the host has said hello.
        "hypervisor_type": row.drivers[0].upper() if row.drivers else "",
        "hypervisor_version": 5_000_000,
        "host_ip": row.address or UNKNOWN_ADDRESS,
        "service": {
            "id": _id(request, row),
            "host": row.id,
            "disabled_reason": row.disabled_reason or None,
        },
    }
    if request.microversion < V_NO_STATISTICS:
        shown |= _statistics(row)
        shown["cpu_info"] = {} if request.microversion >= V_CPU_INFO_OBJECT else "{}"
    else:
        shown["uptime"] = _uptime(row, request.services.clock.now())
    return shown


def _uptime(row: Host, now: datetime) -> str | None:
    """As the program `uptime` says it: " 10:02:11 up 3 days, 4:05"."""
    if row.booted_at is None or not row.is_up:
        return None
    minutes = int((now - row.booted_at).total_seconds()) // 60
    days, rest = divmod(max(0, minutes), 24 * 60)
    words = f"{days} day{'' if days == 1 else 's'}, " if days else ""
    return f" {now:%H:%M:%S} up {words}{rest // 60}:{rest % 60:02}"


_STATISTICS = (
    "vcpus",
    "memory_mb",
    "local_gb",
    "vcpus_used",
    "memory_mb_used",
    "local_gb_used",
    "free_ram_mb",
    "free_disk_gb",
    "current_workload",
    "running_vms",
    "disk_available_least",
)


def _statistics(row: Host) -> dict[str, int]:
    return {
        "vcpus": row.vcpus,
        "memory_mb": row.ram_mib,
        "local_gb": row.disk_gib,
        "vcpus_used": row.vcpus_claimed,
        "memory_mb_used": row.ram_claimed_mib,
        "local_gb_used": row.disk_claimed_gib,
        "free_ram_mb": row.ram_mib - row.ram_claimed_mib,
        "free_disk_gb": row.disk_gib - row.disk_claimed_gib,
        "current_workload": 0,
        "running_vms": row.servers_claimed,
        "disk_available_least": row.disk_free_gib,
    }


def _servers(connection: Connection, request: Request, row: Host) -> dict[str, Any]:
    """The host's servers. Before 2.75 the key is missing where there are none."""
    servers = server_store.on_host(connection, row.id)
    found = [{"uuid": server.id, "name": server.name} for server in servers]
    if request.microversion < V_ALWAYS_SERVERS and not found:
        return {}
    return {"servers": found}
