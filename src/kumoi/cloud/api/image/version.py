"""Which versions of the image API there are, and what it offers of the ways to import."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

STORE = "files"
METHODS = ("glance-direct", "web-download")
NEWEST = 9  # v2.9: hidden images and multiple hashes, without several stores.


def index(request: Request) -> Reply:
    return Reply(300, {"versions": _render(request)})


def show(request: Request) -> Reply:
    return Reply(200, {"versions": _render(request)})


def import_methods(_request: Request) -> Reply:
    methods = {
        "description": "Import methods available.",
        "type": "array",
        "value": list(METHODS),
    }
    return Reply(200, {"import-methods": methods})


def stores(_request: Request) -> Reply:
    """The one: files by the hash of their content."""
    store = {
        "id": STORE,
        "description": "Kept once by the hash of its content",
        "default": "true",
    }
    return Reply(200, {"stores": [store]})


def _render(request: Request) -> list[dict[str, Any]]:
    return [
        {
            "id": f"v2.{minor}",
            "status": "CURRENT" if minor == NEWEST else "SUPPORTED",
            "links": [{"rel": "self", "href": f"{request.base}/v2/"}],
        }
        for minor in (NEWEST, 7, 6, 5, 4, 3, 2, 1, 0)
    ]
