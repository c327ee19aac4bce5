"""Network agents: the OVN controller of each host. Only administrators see any."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.cloud.api.network import body, query, rendering
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.host.host import ZONE
from kumoi.cloud.domain.network import network as network_domain
from kumoi.cloud.domain.network import router as router_domain
from kumoi.cloud.store.host import host as store
from kumoi.cloud.store.host.host import Host
from kumoi.engine import audit
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

FILTERS = (
    *("id", "host", "agent_type", "binary", "topic", "availability_zone", "alive"),
    *("admin_state_up", "description"),
)


def index(request: Request) -> Reply:
    query.require_known(request, FILTERS)
    with request.read() as connection:
        shown = [_render(host) for host in _visible(connection, request)]
    filters = {
        name: [value.lower() for value in request.query_all(name)]
        for name in FILTERS
        if name in request.query
    }
    agents = [
        rendering.only(request, agent)
        for agent in shown
        if all(str(agent[name]).lower() in values for name, values in filters.items())
    ]
    return Reply(200, {"agents": agents})


class NetworkAgentChanges(Body):
    admin_state_up: bool | Unset = UNSET
    description: Text | Unset = UNSET


def show(request: Request) -> Reply:
    with request.read() as connection:
        shown = _render(_get(connection, request))
    return Reply(200, {"agent": rendering.only(request, shown)})


def update(request: Request) -> Reply:
    """Takes what is so already: clients send `admin_state_up` with every change."""
    values = fields_set(body.one(request, "agent", NetworkAgentChanges))
    with request.write() as connection:
        shown = _render(_get(connection, request))
        audit.about(shown["id"])
    for name, value in values.items():
        if value != shown[name]:
            raise Invalid(
                f"{name} of an OVN agent cannot be changed: disable its host in the compute service",
                field=name,
            )
    return Reply(200, {"agent": shown})


def delete(request: Request) -> Reply:
    """Always refused: an agent goes with its host."""
    with request.write() as connection:
        host = _get(connection, request)
    raise Conflict(f"the agent of host {host.id} goes when the host does", kind="AgentInUse")


def scheduled(request: Request) -> Reply:
    """GET /v2.0/agents/{id}/dhcp-networks and …/l3-routers: none, since every host answers for itself."""
    with request.read() as connection:
        _get(connection, request)
    return Reply(200, {request.url_path.rpartition("-")[2]: []})


def hosting_network(request: Request) -> Reply:
    """GET /v2.0/networks/{id}/dhcp-agents: there are none."""
    with request.read() as connection:
        network_domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"agents": []})


def hosting_router(request: Request) -> Reply:
    """GET /v2.0/routers/{id}/l3-agents: there are none."""
    with request.read() as connection:
        router_domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"agents": []})


def _get(connection: Connection, request: Request) -> Host:
    for host in _visible(connection, request):
        if host.uuid == request.path["id"]:
            return host
    raise NotFound("agent", request.path["id"])


def _visible(connection: Connection, request: Request) -> list[Host]:
    return store.every(connection) if request.caller.may("get_agent") else []


def _render(host: Host) -> Shown:
    return {
        "id": host.uuid,
        "agent_type": "OVN Controller agent",
        "binary": "ovn-controller",
        "topic": "n/a",
        "host": host.id,
        "admin_state_up": True,
        "alive": host.state == store.UP,
        "availability_zone": ZONE,
        "configurations": {},
        "description": "",
        "resources_synced": None,
        "created_at": _time(host.created_at),
        "started_at": _time(host.created_at),
        "heartbeat_timestamp": _time(host.seen_at),
    }


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")
