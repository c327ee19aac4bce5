"""Networks as compute showed them before there was a network API, until 2.35: the id and the name of
those that servers may be on. Nova answers null for all else since it has no networks of its own.
"""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import network as domain
from kumoi.cloud.store.network import network as store
from kumoi.cloud.store.network.network import Network
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.engine.http.request import Reply

NULLS = (
    *("cidr", "netmask", "gateway", "broadcast", "dns1", "dns2", "cidr_v6", "gateway_v6"),
    "netmask_v6",
)
NULLS_OF_ADMIN = (
    *("created_at", "updated_at", "deleted_at", "deleted", "injected", "bridge", "vlan"),
    *("vpn_public_address", "vpn_public_port", "vpn_private_address", "dhcp_start", "project_id"),
    *("host", "bridge_interface", "multi_host", "priority", "rxtx_base", "mtu", "dhcp_server"),
    *("enable_dhcp", "share_address"),
)
SHOWS_ADMINS = "os_compute_api:os-networks:list:admin_fields"


def index(request: Request) -> Reply:
    """An administrator sees all."""
    if request.caller.may(SHOWS_ADMINS):
        with request.read() as connection:
            rows = domain.page(connection, request.caller, NetworkQuery())
    else:
        rows = _usable(request)
    return Reply(200, {"networks": [_render(request, row) for row in rows]})


def show(request: Request) -> Reply:
    return Reply(200, {"network": _render(request, _get(request))})


def index_of_tenant(request: Request) -> Reply:
    return Reply(200, {"networks": [_render_of_tenant(row) for row in _usable(request)]})


def show_of_tenant(request: Request) -> Reply:
    return Reply(200, {"network": _render_of_tenant(_get(request))})


def _usable(request: Request) -> list[Network]:
    with request.read() as connection:
        return store.usable_by(connection, request.caller.project_id or "")


def _get(request: Request) -> Network:
    with request.read() as connection:
        return domain.get(connection, request.caller, request.path["id"])


def _render(request: Request, row: Network) -> dict[str, Any]:
    more = NULLS_OF_ADMIN if request.caller.may(SHOWS_ADMINS) else ()
    return {"id": row.id, "label": row.name, **dict.fromkeys((*NULLS, *more))}


def _render_of_tenant(row: Network) -> dict[str, Any]:
    """`cidr` is this text, not null."""
    return {"id": row.id, "cidr": "None", "label": row.name}
