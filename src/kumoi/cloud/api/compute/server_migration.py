"""Moves of a server that are under way: one at most. Since 2.24 a live one may be cancelled while its disk is copied."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.compute import rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import move
from kumoi.cloud.domain.compute import server as domain
from kumoi.cloud.store.compute import migration as store
from kumoi.cloud.store.compute.migration import LIVE, Migration
from kumoi.cloud.store.compute.server import Server
from kumoi.engine.http.request import Reply

V_UUID = (2, 59)
V_OWNERS = (2, 80)
MIB = 1 << 20


def index(request: Request) -> Reply:
    """Live ones, as Nova has it: a cold one is in GET /os-migrations alone."""
    with request.read() as connection:
        row = domain.get(connection, request.caller, request.path["id"])
        found = [each for each in store.under_way(connection, row.id) if each.kind == LIVE]
    return Reply(200, {"migrations": [_render(request, row, each) for each in found]})


def show(request: Request) -> Reply:
    """Raises NotFound."""
    with request.read() as connection:
        row, found = _get(connection, request)
    return Reply(200, {"migration": _render(request, row, found)})


def delete(request: Request) -> Reply:
    """Raises Conflict once the server is about to stop."""
    now = request.services.clock.now()
    with request.write() as connection:
        key, number = request.path["id"], request.path["key"]
        move.cancel(connection, request.caller, key, number, now)
    return Reply(202)


def _get(connection: Connection, request: Request) -> tuple[Server, Migration]:
    row = domain.get(connection, request.caller, request.path["id"])
    return row, move.under_way(connection, row, request.path["key"])


def _render(request: Request, row: Server, found: Migration) -> dict[str, Any]:
    came = move.came(row)
    total = 0 if came is None else came.disk_mib * MIB
    sent = 0 if came is None else came.sent_mib * MIB
    shown: dict[str, Any] = {
        "id": found.number,
        "server_uuid": found.server_id,
        "status": "running",
        "source_compute": found.host_id,
        "source_node": found.host_id,
        "dest_compute": found.to_host_id,
        "dest_node": found.to_host_id,
        "dest_host": None,
        "memory_total_bytes": 0,  # Nothing of a container's memory comes along.
        "memory_processed_bytes": 0,
        "memory_remaining_bytes": 0,
        "disk_total_bytes": total,
        "disk_processed_bytes": sent,
        "disk_remaining_bytes": max(0, total - sent),
        "created_at": rendering.precise(found.created_at),
        "updated_at": rendering.precise(found.updated_at),
    }
    if request.microversion >= V_UUID:
        shown["uuid"] = found.id
    if request.microversion >= V_OWNERS:
        shown |= {"user_id": found.user_id, "project_id": found.project_id}
    return shown
