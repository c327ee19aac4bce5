"""The NUMA topology of a server: no host ties servers to nodes, so there is none."""

from __future__ import annotations

from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import server as domain
from kumoi.engine.http.request import Reply


def show(request: Request) -> Reply:
    with request.read() as connection:
        domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"nodes": [], "pagesize_kb": None})
