"""Which versions of the load balancer API there are. Clients take the last."""

from __future__ import annotations

from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

LAST = 24
"""Versions only say which features there are; 2.24 is the last whose features this cloud has or
refuses in words.
"""
UPDATED = "2020-10-15T00:00:00Z"


def index(request: Request) -> Reply:
    """GET / of the service."""
    links = [{"rel": "self", "href": f"{request.base}/v2.0"}]
    versions = [
        {
            "id": f"v2.{minor}",
            "status": "CURRENT" if minor == LAST else "SUPPORTED",
            "updated": UPDATED,
            "links": links,
        }
        for minor in range(LAST + 1)
    ]
    return Reply(200, {"versions": versions})
