"""How many addresses each network has, and how many are used. For administrators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kumoi.base.errors import NotFound
from kumoi.cloud.api.network import query, rendering
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import allocation
from kumoi.cloud.store.network import fixed_ip as fixed_ip_store
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network.network import Network
from kumoi.cloud.store.network.subnet import Subnet
from kumoi.engine.http.request import Reply

FILTERS = ("network_id", "network_name", "project_id", "tenant_id")


def index(request: Request) -> Reply:
    """With `ip_version`, of the networks that have a subnet of that version."""
    query.require_known(request, {*FILTERS, "ip_version"})
    filters = {name: request.query_all(name) for name in FILTERS if name in request.query}
    version = request.query.get("ip_version")
    with request.read() as connection:
        subnets = [
            row
            for row in subnet_store.every(connection)
            if version is None or str(row.ip_version) == version
        ]
        used = fixed_ip_store.count_by_subnet(connection)
        network_ids = {subnet.network_id for subnet in subnets}
        shown = [
            _render(row, subnets, used)
            for row in network_store.every(connection)
            if version is None or row.id in network_ids
        ]
    availabilities = [
        rendering.only(request, availability)
        for availability in shown
        if all(availability[name] in values for name, values in filters.items())
    ]
    return Reply(200, {"network_ip_availabilities": availabilities})


def show(request: Request) -> Reply:
    with request.read() as connection:
        row = network_store.get(connection, request.path["id"])
        if row is None:
            raise NotFound("network", request.path["id"])
        subnets = subnet_store.of_network(connection, row.id)
        used = fixed_ip_store.count_by_subnet(connection)
    shown = rendering.only(request, _render(row, subnets, used))
    return Reply(200, {"network_ip_availability": shown})


def _render(row: Network, subnets: Iterable[Subnet], used: Mapping[str, int]) -> Shown:
    parts: list[Shown] = [
        {
            "subnet_id": subnet.id,
            "subnet_name": subnet.name,
            "cidr": subnet.cidr,
            "ip_version": subnet.ip_version,
            "total_ips": allocation.size(allocation.as_pools(subnet.allocation_pools)),
            "used_ips": used.get(subnet.id, 0),
        }
        for subnet in subnets
        if subnet.network_id == row.id
    ]
    return {
        "network_id": row.id,
        "network_name": row.name,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "total_ips": sum(part["total_ips"] for part in parts),
        "used_ips": sum(part["used_ips"] for part in parts),
        "subnet_ip_availability": parts,
    }
