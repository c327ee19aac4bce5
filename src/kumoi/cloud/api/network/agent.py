"""Network agents: the OVN controller of each host. Only administrators see any."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.cloud.api.network import rendering
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.host.host import ZONE
from kumoi.cloud.store.host import host as store
from kumoi.cloud.store.host.host import Host
from kumoi.engine.http.request import Reply

FILTERS = ("id", "host", "agent_type", "binary", "availability_zone", "alive")


def index(request: Request) -> Reply:
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


def show(request: Request) -> Reply:
    with request.read() as connection:
        for host in _visible(connection, request):
            if host.uuid == request.path["id"]:
                return Reply(200, {"agent": rendering.only(request, _render(host))})
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
