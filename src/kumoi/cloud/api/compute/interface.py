"""A server's interfaces: its ports as compute shows them."""

from __future__ import annotations

from typing import Any

from kumoi.base.errors import Invalid, NotFound
from kumoi.base.ids import is_uuid
from kumoi.cloud.api.compute import shapes
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import networking, server, server_action
from kumoi.cloud.domain.compute.networking import Nic
from kumoi.cloud.store.network.port import Port
from kumoi.engine.http.bounds import Entries, Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

V_TAG = (2, 49)
V_SHOWS_TAG = (2, 70)


class ServerInterfaceFixedIp(Body, kw_only=True):
    ip_address: Text


class ServerInterfaceNew(Body, kw_only=True):
    port_id: Text | Unset = UNSET
    net_id: Text | Unset = UNSET
    fixed_ips: Entries[ServerInterfaceFixedIp] | Unset = UNSET
    tag: Text | Unset = UNSET


class ServerInterfaceCreate(Body, kw_only=True, rename={"wanted": "interfaceAttachment"}):
    wanted: ServerInterfaceNew | Unset = UNSET


def index(request: Request) -> Reply:
    with request.read() as connection:
        found = server.get(connection, request.caller, request.path["id"])
        ports = networking.ports_of(connection, found)
    return Reply(200, {"interfaceAttachments": [_render(request, port) for port in ports]})


def show(request: Request) -> Reply:
    key = request.path["port_id"]
    with request.read() as connection:
        found = server.get(connection, request.caller, request.path["id"])
        ports = networking.ports_of(connection, found)
    port = next((port for port in ports if port.id == key), None)
    if port is None:
        raise NotFound(
            "port", key, message=f"Instance {found.id} does not have a port with id {key}"
        )
    return Reply(200, {"interfaceAttachment": _render(request, port)})


def create(request: Request) -> Reply:
    body = request.parse(ServerInterfaceCreate).wanted
    nic = None if body is UNSET else _nic(request, body)
    now = request.services.clock.now()
    with request.write() as connection:
        port = server_action.attach_port(connection, request.caller, request.path["id"], nic, now)
    return Reply(200, {"interfaceAttachment": _render(request, port)})


def delete(request: Request) -> Reply:
    now = request.services.clock.now()
    with request.write() as connection:
        server_action.detach_port(
            connection, request.caller, request.path["id"], request.path["port_id"], now
        )
    return Reply(202)


def _nic(request: Request, body: ServerInterfaceNew) -> Nic | None:
    """None where the body names neither port nor network. Raises Invalid."""
    shapes.require_versions(request, body, since={"tag": V_TAG})
    for name, value in (("port_id", body.port_id), ("net_id", body.net_id)):
        if value is not UNSET and not is_uuid(value):
            raise shapes.invalid(name, value, f"'{value}' is not a 'uuid'")
    if body.net_id is not UNSET and body.port_id is not UNSET:
        raise Invalid("Must not input both network_id and port_id", field="net_id")
    fixed = ""
    if body.fixed_ips not in (UNSET, []):
        fixed = shapes.ip_address(body.fixed_ips[0].ip_address, "fixed_ips.ip_address")
        if len(body.fixed_ips) > 1:
            raise Invalid("Only one address may be asked for.", field="fixed_ips")
    if body.port_id is not UNSET:
        return Nic(port_id=body.port_id)
    if body.net_id is UNSET:
        if fixed:
            raise Invalid("Must input network_id when request IP address", field="net_id")
        return None
    return Nic(network_id=body.net_id, fixed_ip=fixed or None)


def _render(request: Request, port: Port) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "port_id": port.id,
        "net_id": port.network_id,
        "mac_addr": port.mac_address,
        "port_state": port.status,
        "fixed_ips": [
            {"subnet_id": subnet_id, "ip_address": address} for subnet_id, address in port.fixed_ips
        ],
    }
    if request.microversion >= V_SHOWS_TAG:
        shown["tag"] = None
    return shown
