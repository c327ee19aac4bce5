"""Subnets: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.api.network import body, rendering, shapes
from kumoi.cloud.api.network.body import Tags
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import subnet as domain
from kumoi.cloud.domain.network.subnet import SubnetRequest
from kumoi.cloud.store.network.subnet import Subnet
from kumoi.engine.http.bounds import Entries, Text
from kumoi.engine.http.request import UNSET, Body, Unset

COLUMNS = {
    "name": "name",
    "network_id": "network_id",
    "ip_version": "ip_version",
    "cidr": "cidr",
    "gateway_ip": "gateway_ip",
    "enable_dhcp": "enable_dhcp",
    "ipv6_ra_mode": "ipv6_ra_mode",
    "ipv6_address_mode": "ipv6_address_mode",
    "subnetpool_id": "subnetpool_id",
}
MODES = ("dhcpv6-stateful", "dhcpv6-stateless", "slaac")
VERSIONS = (4, 6)
OWNER_PREFIXES = ("network:", "compute:", "neutron:", "baremetal:")


class SubnetChanges(Body):
    name: Text | Unset = UNSET
    description: Text | Unset = UNSET
    gateway_ip: Text | Unset | None = UNSET
    enable_dhcp: bool | Unset = UNSET
    allocation_pools: Entries[shapes.PoolBody] | Unset = UNSET
    dns_nameservers: Entries[Text] | Unset | None = UNSET
    host_routes: Entries[shapes.RouteBody] | Unset | None = UNSET
    service_types: Entries[Text] | Unset | None = UNSET


class SubnetNew(SubnetChanges, kw_only=True):
    network_id: Text
    ip_version: int | Unset = UNSET
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET
    tags: Tags | Unset = UNSET
    cidr: Text | Unset | None = UNSET
    prefixlen: int | Unset = UNSET
    subnetpool_id: Text | Unset | None = UNSET
    use_default_subnetpool: bool | Unset = UNSET
    ipv6_ra_mode: Text | Unset = UNSET
    ipv6_address_mode: Text | Unset = UNSET


def _convert(_request: Request, values: dict[str, Any]) -> None:
    for name in ("dns_nameservers", "host_routes", "service_types"):
        if name in values and values[name] is None:
            values[name] = []
    if values.get("ip_version", VERSIONS[0]) not in VERSIONS:
        raise shapes.invalid("ip_version", f"'{values['ip_version']}' is not in {list(VERSIONS)}")
    for name in ("network_id", "subnetpool_id"):
        body.convert(values, name, shapes.uuid)
    body.convert(values, "cidr", shapes.cidr)
    body.convert(values, "gateway_ip", shapes.address)
    body.convert(values, "allocation_pools", shapes.pools)
    body.convert(values, "dns_nameservers", shapes.addresses)
    body.convert(values, "host_routes", shapes.routes)
    body.convert(values, "service_types", _service_types)
    for name in ("ipv6_ra_mode", "ipv6_address_mode"):
        body.convert(values, name, lambda field, mode: shapes.one_of(field, mode, MODES))


def _service_types(field: str, types: Sequence[str]) -> list[str]:
    """Each one once. Raises Invalid for what is no owner of a port."""
    for text in types:
        if not text.startswith(OWNER_PREFIXES):
            raise Invalid(
                f"Subnet service type {text} does not correspond to a valid device owner.",
                field=field,
                kind="InvalidSubnetServiceType",
            )
    return list(dict.fromkeys(types))


def _shown(
    _connection: Connection,
    _request: Request,
    rows: Sequence[Subnet],
    tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    return [
        {
            "name": row.name,
            "network_id": row.network_id,
            "ip_version": row.ip_version,
            "cidr": row.cidr,
            "gateway_ip": row.gateway_ip,
            "enable_dhcp": row.enable_dhcp,
            "allocation_pools": [{"start": low, "end": high} for low, high in row.allocation_pools],
            "dns_nameservers": row.dns_nameservers,
            "host_routes": rendering.routes(row.host_routes),
            "ipv6_ra_mode": row.ipv6_ra_mode,
            "ipv6_address_mode": row.ipv6_address_mode,
            "subnetpool_id": row.subnetpool_id,
            "service_types": row.service_types,
            **rendering.standard(row, tags.get(row.id, ())),
        }
        for row in rows
    ]


RESOURCE = Resource(
    word="subnet",
    words="subnets",
    new=SubnetNew,
    changes=SubnetChanges,
    columns=COLUMNS,
    booleans=frozenset({"enable_dhcp"}),
    special=frozenset({"router:external", "shared"}),
    wanted=SubnetRequest,
    convert=_convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
)
