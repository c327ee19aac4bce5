"""The versions of the compute API, which anybody may read."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.request import Request
from kumoi.engine.http import versions
from kumoi.engine.http.request import Reply

VERSIONS = versions.Microversions(
    "compute", first=(2, 1), last=(2, 96), own_header="X-OpenStack-Nova-API-Version"
)
MEDIA_TYPES = [
    {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
]


def index(request: Request) -> Reply:
    """At the service's root. v2.0 stands first, where tools look for it, and leads to v2.1, which
    without a microversion is the same.
    """
    oldest = {
        "id": "v2.0",
        "status": "SUPPORTED",
        "version": "",
        "min_version": "",
        "updated": "2011-01-21T11:33:21Z",
        "links": _links(request),
    }
    return Reply(200, {"versions": [oldest, _version(request)]})


def show(request: Request) -> Reply:
    return Reply(200, {"version": _version(request) | {"media-types": MEDIA_TYPES}})


def _version(request: Request) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": versions.text(VERSIONS.last),
        "min_version": versions.text(VERSIONS.first),
        "updated": "2013-07-23T11:33:21Z",
        "links": _links(request),
    }


def _links(request: Request) -> list[dict[str, str]]:
    return [{"rel": "self", "href": f"{request.base}/v2.1/"}]
