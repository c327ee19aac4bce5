"""Hosts as compute showed them before there were hypervisors and services; until 2.42."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from kumoi.base.errors import Invalid, Unsupported
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.host import aggregate
from kumoi.cloud.domain.host import host as domain
from kumoi.cloud.domain.host.host import ZONE
from kumoi.cloud.store.compute import server as server_store
from kumoi.cloud.store.compute.server import Server
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

Switch = Annotated[
    str, msgspec.Meta(max_length=7, pattern=r"^(enable|Enable|ENABLE|disable|Disable|DISABLE)\Z")
]
NO_POWER = "This cloud does not switch its hosts on or off."
NO_MAINTENANCE = "There is no maintenance mode; disable the host, so that it gets no new servers."


class ComputeHostChanges(Body, kw_only=True):
    status: Switch | Unset = UNSET
    maintenance_mode: Switch | Unset = UNSET


def index(request: Request) -> Reply:
    """Those that are enabled; an empty zone is any."""
    zone = request.query.get("zone")
    with request.read() as connection:
        rows = domain.every(connection)
        placed = aggregate.zones(connection)
    hosts = [
        {"host_name": row.id, "service": "compute", "zone": placed.get(row.id, ZONE)}
        for row in rows
        if row.enabled and (not zone or placed.get(row.id, ZONE) == zone)
    ]
    return Reply(200, {"hosts": hosts})


def show(request: Request) -> Reply:
    """What the host has, what is claimed of it, and of that what each project's servers claim."""
    with request.read() as connection:
        row = domain.get(connection, request.path["id"])
        servers = server_store.on_host(connection, row.id)
    shown = [
        _resource(row.id, "(total)", row.vcpus, row.ram_mib, row.disk_gib),
        _resource(
            row.id, "(used_now)", row.vcpus_claimed, row.ram_claimed_mib, row.disk_claimed_gib
        ),
        _sum(row.id, "(used_max)", servers),
    ]
    for project_id in sorted({server.project_id for server in servers}):
        own = [server for server in servers if server.project_id == project_id]
        shown.append(_sum(row.id, project_id, own))
    return Reply(200, {"host": shown})


def update(request: Request) -> Reply:
    """Raises Unsupported for a maintenance mode, Invalid where nothing is asked for."""
    body = request.parse(ComputeHostChanges)
    if body.status is UNSET and body.maintenance_mode is UNSET:
        raise Invalid("'status' or 'maintenance_mode' is needed.", field="status")
    now = request.services.clock.now()
    with request.write() as connection:
        row = domain.get(connection, request.path["id"])
        if body.maintenance_mode is not UNSET:
            raise Unsupported(NO_MAINTENANCE)
        enabled = str(body.status).lower() == "enable"
        values = {"enabled": enabled, "disabled_reason": ""}
        domain.change(connection, row.id, values, now)
    return Reply(200, {"host": row.id, "status": "enabled" if enabled else "disabled"})


def refuse_power(request: Request) -> Reply:
    """Raises NotFound, else Unsupported."""
    with request.read() as connection:
        domain.get(connection, request.path["id"])
    raise Unsupported(NO_POWER)


def _sum(host_id: str, project: str, servers: Iterable[Server]) -> dict[str, Any]:
    sums = [(row.vcpus, row.ram_mib, row.disk_gib + row.ephemeral_gib) for row in servers]
    vcpus, ram_mib, disk_gib = (sum(column) for column in zip((0, 0, 0), *sums, strict=True))
    return _resource(host_id, project, vcpus, ram_mib, disk_gib)


def _resource(
    host_id: str, project: str, vcpus: int, ram_mib: int, disk_gib: int
) -> dict[str, Any]:
    shown = {"cpu": vcpus, "memory_mb": ram_mib, "disk_gb": disk_gib}
    return {"resource": {"host": host_id, "project": project, **shown}}
