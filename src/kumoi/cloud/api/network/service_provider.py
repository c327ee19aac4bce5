"""Service providers: there are none, OVN does it all."""

from __future__ import annotations

from kumoi.cloud.api.network import query
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply


def index(request: Request) -> Reply:
    query.require_known(request, ("service_type", "name", "default"))
    return Reply(200, {"service_providers": []})
