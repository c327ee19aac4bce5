"""Availability zones: there is one, for networks and routers."""

from __future__ import annotations

from kumoi.cloud.api.network import query, rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.host.host import ZONE
from kumoi.engine.http.request import Reply

RESOURCES = ("network", "router")
FILTERS = ("name", "resource", "state")


def index(request: Request) -> Reply:
    query.require_known(request, FILTERS)
    zones = [{"name": ZONE, "resource": resource, "state": "available"} for resource in RESOURCES]
    filters = {name: request.query_all(name) for name in FILTERS if name in request.query}
    shown = [
        rendering.only(request, dict(zone))
        for zone in zones
        if all(zone[name] in values for name, values in filters.items())
    ]
    return Reply(200, {"availability_zones": shown})
