"""Floating IPs and their pools as compute showed them before there was a network API; until 2.35.
The actions that give one to a server are there until 2.43 (server_action.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.compute.shapes import Text
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import floating_ip as domain
from kumoi.cloud.domain.network import floating_ip as network
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network.floating_ip import FloatingIp
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset


class ProxiedFloatingIpNew(Body, kw_only=True):
    pool: Text | Unset | None = UNSET


def pools(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.pools(connection, request.caller)
    return Reply(200, {"floating_ip_pools": [{"name": row.name or row.id} for row in found]})


def index(request: Request) -> Reply:
    with request.read() as connection:
        shown = _shown(connection, domain.of_project(connection, request.caller))
    return Reply(200, {"floating_ips": shown})


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = network.get(connection, request.caller, request.path["id"])
        (shown,) = _shown(connection, [found])
    return Reply(200, {"floating_ip": shown})


def create(request: Request) -> Reply:
    body = request.parse(ProxiedFloatingIpNew | None)  # type: ignore[arg-type]
    pool = None if body is None or body.pool is UNSET else body.pool
    now = request.services.clock.now()
    with request.write() as connection:
        made = domain.allocate(connection, request.caller, pool, now)
        audit.about(made.id)
        (shown,) = _shown(connection, [made])
    return Reply(200, {"floating_ip": shown})


def delete(request: Request) -> Reply:
    now = request.services.clock.now()
    with request.write() as connection:
        network.delete(connection, request.caller, request.path["id"], now)
    return Reply(202)


def _shown(connection: Connection, rows: list[FloatingIp]) -> list[dict[str, Any]]:
    ports = network.inner_ports(connection, rows)
    networks = network_store.many(connection, {row.floating_network_id for row in rows})
    names: Mapping[str, str] = {key: each.name or key for key, each in networks.items()}
    return [
        {
            "id": row.id,
            "ip": row.floating_ip_address,
            "fixed_ip": row.fixed_ip_address,
            "instance_id": ports[row.port_id].device_id or None if row.port_id else None,
            "pool": names[row.floating_network_id],
        }
        for row in rows
    ]
