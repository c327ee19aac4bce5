"""Floating IPs: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.network import body, dns, port_forwarding, rendering, shapes
from kumoi.cloud.api.network.body import Tags
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import floating_ip as domain
from kumoi.cloud.domain.network.floating_ip import FloatingIpRequest
from kumoi.cloud.store.network import port_forwarding as forwarding_store
from kumoi.cloud.store.network.floating_ip import FloatingIp
from kumoi.cloud.store.network.port import Port
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Unset

COLUMNS = {
    "floating_network_id": "floating_network_id",
    "floating_ip_address": "floating_ip_address",
    "fixed_ip_address": "fixed_ip_address",
    "port_id": "port_id",
    "router_id": "router_id",
    "status": "status",
}


class FloatingIpChanges(Body):
    description: Text | Unset = UNSET
    port_id: Text | Unset | None = UNSET
    fixed_ip_address: Text | Unset | None = UNSET


class FloatingIpNew(FloatingIpChanges, kw_only=True):
    floating_network_id: Text
    floating_ip_address: Text | Unset | None = UNSET
    subnet_id: Text | Unset | None = UNSET
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET
    dns_name: Text | Unset = UNSET
    dns_domain: Text | Unset = UNSET
    tags: Tags | Unset = UNSET


def _convert(_request: Request, values: dict[str, Any]) -> None:
    for name in ("floating_network_id", "subnet_id", "port_id"):
        body.convert(values, name, shapes.uuid)
    for name in ("floating_ip_address", "fixed_ip_address"):
        body.convert(values, name, shapes.address)
    body.convert(values, "dns_name", dns.relative_name)
    body.convert(values, "dns_domain", dns.domain)


def _shown(
    connection: Connection,
    _request: Request,
    rows: Sequence[FloatingIp],
    tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    ports = domain.inner_ports(connection, list(rows))
    forwardings = forwarding_store.of_floating_ips(connection, [row.id for row in rows])
    return [
        {
            "floating_network_id": row.floating_network_id,
            "floating_ip_address": row.floating_ip_address,
            "fixed_ip_address": row.fixed_ip_address,
            "port_id": row.port_id,
            "router_id": row.router_id,
            "status": row.status,
            "dns_name": row.dns_name,
            "dns_domain": row.dns_domain,
            "port_details": None if row.port_id is None else _port_details(ports[row.port_id]),
            "port_forwardings": [
                port_forwarding.within(each) for each in forwardings.get(row.id, ())
            ],
            **rendering.standard(row, tags.get(row.id, ())),
        }
        for row in rows
    ]


def _port_details(port: Port) -> Shown:
    return {
        "name": port.name,
        "network_id": port.network_id,
        "mac_address": port.mac_address,
        "admin_state_up": port.admin_state_up,
        "status": port.status,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
    }


RESOURCE = Resource(
    word="floatingip",
    words="floatingips",
    new=FloatingIpNew,
    changes=FloatingIpChanges,
    columns=COLUMNS,
    wanted=FloatingIpRequest,
    convert=_convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
)
