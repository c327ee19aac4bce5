"""The versions of the identity API."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

VERSION = "v3.14"
UPDATED = "2020-04-07T00:00:00Z"  # When upstream published that version.


def index(request: Request) -> Reply:
    return Reply(300, {"versions": {"values": [_render(request)]}})


def show(request: Request) -> Reply:
    return Reply(200, {"version": _render(request)})


def _render(request: Request) -> dict[str, Any]:
    return {
        "id": VERSION,
        "status": "stable",
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{request.base}/v3/"}],
        "media-types": [
            {
                "base": "application/json",
                "type": "application/vnd.openstack.identity-v3+json",
            }
        ],
    }
