"""The versions that compute offers: anybody may ask."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api import versions
from kumoi.cloud.api.request import Reply, Request

MEDIA_TYPES = [
    {"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}
]


def index(request: Request) -> Reply:
    """At the service's root; v2.0 is the same API without microversions."""
    return Reply(200, {"versions": [_oldest(request), _version(request)]})


def show_oldest(request: Request) -> Reply:
    return Reply(200, {"version": _oldest(request) | {"media-types": MEDIA_TYPES}})


def show(request: Request) -> Reply:
    return Reply(200, {"version": _version(request) | {"media-types": MEDIA_TYPES}})


def _version(request: Request) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": versions.text(versions.COMPUTE_MAX),
        "min_version": versions.text(versions.COMPUTE_MIN),
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{request.base}/v2.1/"}],
    }


def _oldest(request: Request) -> dict[str, Any]:
    return {
        "id": "v2.0",
        "status": "SUPPORTED",
        "version": "",
        "min_version": "",
        "updated": "2011-01-21T11:33:21Z",
        "links": [{"rel": "self", "href": f"{request.base}/v2/"}],
    }
