"""Service providers: there are none, OVN does it all."""

from __future__ import annotations

from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply


def index(_request: Request) -> Reply:
    return Reply(200, {"service_providers": []})
