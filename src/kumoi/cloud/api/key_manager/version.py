"""Which versions of the key manager's API there are."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply


def index(request: Request) -> Reply:
    """GET / of the service."""
    return Reply(200, {"versions": [_shown(request)]})


def show(request: Request) -> Reply:
    """GET /v1."""
    return Reply(200, {"version": _shown(request)})


def _shown(request: Request) -> dict[str, Any]:
    return {
        "id": "v1",
        "status": "CURRENT",
        "min_version": "1.0",
        "max_version": "1.0",
        "links": [{"rel": "self", "href": f"{request.base}/v1/"}],
    }
