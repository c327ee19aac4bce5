"""The password that a server's own agent has made for its user: there is none, since servers are
reached with SSH keys. Clients ask for it all the same.
"""

from __future__ import annotations

from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import server as domain
from kumoi.engine import audit
from kumoi.engine.http.request import Reply


def show(request: Request) -> Reply:
    with request.read() as connection:
        domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"password": ""})


def clear(request: Request) -> Reply:
    """There is nothing to forget."""
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    audit.about(found.id)
    return Reply(204)
