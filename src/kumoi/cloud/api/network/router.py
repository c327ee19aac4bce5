"""Routers: what is accepted and what is shown; their actions too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.network import body, rendering, shapes
from kumoi.cloud.api.network.body import Tags
from kumoi.cloud.api.network.fixed_ip import fixed_ip_requests
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.host.host import ZONE
from kumoi.cloud.domain.network import router as domain
from kumoi.cloud.domain.network import router_interface
from kumoi.cloud.domain.network.router import Gateway, RouterRequest
from kumoi.cloud.domain.network.router_interface import Interface
from kumoi.cloud.store.network.port import Port
from kumoi.cloud.store.network.router import Router
from kumoi.engine.http.bounds import Entries, Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name", "admin_state_up": "admin_state_up"}


class GatewayInfo(Body):
    network_id: Text | Unset = UNSET
    enable_snat: bool | Unset = UNSET
    external_fixed_ips: Entries[shapes.FixedIpBody] | Unset | None = UNSET


class RouterChanges(Body):
    name: Text | Unset = UNSET
    description: Text | Unset = UNSET
    admin_state_up: bool | Unset = UNSET
    external_gateway_info: GatewayInfo | Unset | None = UNSET
    routes: Entries[shapes.RouteBody] | Unset | None = UNSET


class RouterNew(Body):
    name: Text | Unset = UNSET
    description: Text | Unset = UNSET
    admin_state_up: bool | Unset = UNSET
    external_gateway_info: GatewayInfo | Unset | None = UNSET
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET
    tags: Tags | Unset = UNSET
    availability_zone_hints: Entries[Text] | Unset = UNSET
    distributed: bool | Unset | None = UNSET
    ha: bool | Unset | None = UNSET


class InterfaceChange(Body):
    subnet_id: Text | Unset | None = UNSET
    port_id: Text | Unset | None = UNSET


class Routes(Body):
    routes: Entries[shapes.RouteBody]


def add_interface(request: Request) -> Reply:
    """PUT /v2.0/routers/{id}/add_router_interface."""
    wanted = _interface_ids(request)
    with request.write() as connection:
        now = request.services.clock.now()
        added = router_interface.add(
            connection, request.caller, request.path["id"], **wanted, now=now
        )
    return Reply(200, _interface(added))


def remove_interface(request: Request) -> Reply:
    """PUT /v2.0/routers/{id}/remove_router_interface."""
    wanted = _interface_ids(request)
    with request.write() as connection:
        now = request.services.clock.now()
        removed = router_interface.remove(
            connection, request.caller, request.path["id"], **wanted, now=now
        )
    return Reply(200, _interface(removed))


def add_extra_routes(request: Request) -> Reply:
    """PUT /v2.0/routers/{id}/add_extraroutes."""
    return _change_routes(request, domain.add_routes)


def remove_extra_routes(request: Request) -> Reply:
    """PUT /v2.0/routers/{id}/remove_extraroutes."""
    return _change_routes(request, domain.remove_routes)


def _change_routes(request: Request, change: Any) -> Reply:
    routes = shapes.routes("routes", body.one(request, "router", Routes).routes)
    with request.write() as connection:
        now = request.services.clock.now()
        row: Router = change(connection, request.caller, request.path["id"], routes, now)
        (shown,) = _shown(connection, request, [row], {})
    return Reply(200, {"router": shown})


def _interface_ids(request: Request) -> dict[str, str | None]:
    values = fields_set(body.plain(request, InterfaceChange))
    for name in ("subnet_id", "port_id"):
        body.convert(values, name, shapes.uuid)
    return {name: values.get(name) for name in ("subnet_id", "port_id")}


def _interface(interface: Interface) -> Shown:
    return {
        "id": interface.router.id,
        "project_id": interface.router.project_id,
        "tenant_id": interface.router.project_id,
        "port_id": interface.port.id,
        "network_id": interface.port.network_id,
        "subnet_id": interface.subnet_ids[0],
        "subnet_ids": list(interface.subnet_ids),
        "tags": [],
    }


def _convert(request: Request, values: dict[str, Any]) -> None:
    values.pop("availability_zone_hints", None)  # There is one zone.
    for name in ("distributed", "ha"):
        if values.pop(name, None) is not None:
            request.caller.check(f"create_router:{name}")
    if "routes" in values:
        values["routes"] = shapes.routes("routes", values["routes"] or ())
    if "external_gateway_info" in values:
        values["gateway"] = _gateway(values.pop("external_gateway_info"))


def _gateway(info: GatewayInfo | None) -> Gateway | None:
    """The gateway asked for; null and an empty object are none. Raises Invalid."""
    values = fields_set(info) if info is not None else {}
    if not values:
        return None
    if "network_id" not in values:
        raise shapes.invalid("external_gateway_info", "'network_id' is required")
    addresses = values.get("external_fixed_ips")
    return Gateway(
        network_id=shapes.uuid("external_gateway_info.network_id", values["network_id"]),
        enable_snat=values.get("enable_snat"),
        fixed_ips=None if addresses is None else fixed_ip_requests("external_fixed_ips", addresses),
    )


def _shown(
    connection: Connection,
    _request: Request,
    rows: Sequence[Router],
    tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    gateways = domain.gateway_ports(connection, [row.id for row in rows])
    return [_render(row, gateways.get(row.id), tags.get(row.id, ())) for row in rows]


def _render(row: Router, gateway: Port | None, tags: Sequence[str]) -> Shown:
    info = None
    if gateway is not None:
        info = {
            "network_id": gateway.network_id,
            "enable_snat": row.enable_snat,
            "external_fixed_ips": rendering.fixed_ips(gateway.fixed_ips),
        }
    return {
        "name": row.name,
        "status": "ACTIVE",
        "admin_state_up": row.admin_state_up,
        "external_gateway_info": info,
        "routes": rendering.routes(row.routes),
        "availability_zone_hints": [],
        "availability_zones": [ZONE],
        "flavor_id": None,
        "ha": False,
        "distributed": False,
        **rendering.standard(row, tags),
    }


RESOURCE = Resource(
    word="router",
    words="routers",
    new=RouterNew,
    changes=RouterChanges,
    columns=COLUMNS,
    booleans=frozenset({"admin_state_up"}),
    constants={"status": "ACTIVE"},
    wanted=RouterRequest,
    convert=_convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
)
