"""Networks: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any


from kumoi.cloud.api import paging
from kumoi.cloud.api.network import rendering
from kumoi.cloud.api.request import UNSET, Body, Reply, Request, Unset
from kumoi.cloud.domain.network import network as domain
from kumoi.cloud.domain.network.network import NewNetwork
from kumoi.cloud.store.network.network import Network

# The API's word for a column, where it is another.
COLUMNS = {
    "id": "id",
    "name": "name",
    "description": "description",
    "project_id": "project_id",
    "tenant_id": "project_id",
    "admin_state_up": "admin_state_up",
    "shared": "shared",
    "router:external": "external",
    "is_default": "is_default",
    "port_security_enabled": "port_security_enabled",
    "mtu": "mtu",
    "provider:network_type": "network_type",
    "provider:physical_network": "physical_network",
    "provider:segmentation_id": "segmentation_id",
}
BOOLEANS = ("admin_state_up", "shared", "router:external", "is_default", "port_security_enabled")


class Changes(Body, rename={"external": "router:external"}):
    name: rendering.Name | Unset = UNSET
    description: rendering.Name | Unset = UNSET
    admin_state_up: bool | Unset = UNSET
    shared: bool | Unset = UNSET
    external: bool | Unset = UNSET
    is_default: bool | Unset = UNSET
    port_security_enabled: bool | Unset = UNSET
    mtu: rendering.Mtu | Unset = UNSET


class New(
    Changes,
    rename={
        "external": "router:external",
        "network_type": "provider:network_type",
        "physical_network": "provider:physical_network",
        "segmentation_id": "provider:segmentation_id",
    },
):
    project_id: str | Unset = UNSET
    tenant_id: str | Unset = UNSET
    network_type: str | Unset = UNSET
    physical_network: str | None | Unset = UNSET
    segmentation_id: int | None | Unset = UNSET
    availability_zone_hints: list[str] | Unset = UNSET


class CreateOne(Body):
    network: New


class CreateMany(Body):
    networks: list[New]


class Update(Body):
    network: Changes


def create(request: Request) -> Reply:
    """One, or several in one transaction: all or none."""
    several = rendering.is_bulk(request, "networks")
    wanted = request.parse(CreateMany).networks if several else [request.parse(CreateOne).network]
    now = request.services.clock.now()
    with request.write() as connection:
        made = [
            domain.create(connection, request.caller, _new(request, one), now) for one in wanted
        ]
        shown = rendering.networks(connection, request, made)
    return Reply(201, {"networks": shown} if several else {"network": shown[0]})


def index(request: Request) -> Reply:
    listing = paging.network_listing(request, COLUMNS, booleans=BOOLEANS)
    with request.read() as connection:
        found = domain.page(connection, request.caller, listing)
        shown = rendering.networks(connection, request, found)
    return rendering.page(request, "networks", shown, listing)


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
        (shown,) = rendering.networks(connection, request, [found])
    return Reply(200, {"network": shown})


def update(request: Request) -> Reply:
    values = rendering.given(request.parse(Update).network)
    with request.write() as connection:
        now = request.services.clock.now()
        changed = domain.update(connection, request.caller, request.path["id"], values, now)
        (shown,) = rendering.networks(connection, request, [changed])
    return Reply(200, {"network": shown})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.caller, request.path["id"])
    return Reply(204)


def _new(request: Request, wanted: New) -> NewNetwork:
    values = rendering.given(wanted)
    values.pop("availability_zone_hints", None)
    values["project_id"] = rendering.owner(request, values)
    return NewNetwork(**values)


def render(row: Network, subnet_ids: list[str], tags: list[str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "status": "ACTIVE",
        "admin_state_up": row.admin_state_up,
        "shared": row.shared,
        "router:external": row.external,
        "is_default": row.is_default,
        "port_security_enabled": row.port_security_enabled,
        "mtu": row.mtu,
        "subnets": subnet_ids,
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "availability_zone_hints": [],
        "availability_zones": ["nova"],
        "qos_policy_id": None,
        "dns_domain": "",
        "vlan_transparent": None,
        "l2_adjacency": True,
        "tags": tags,
        **rendering.standard(row),
    }
