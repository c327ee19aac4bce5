"""The versions of the placement API, which anybody may read."""

from __future__ import annotations

from kumoi.cloud.api.request import Request
from kumoi.engine.http import versions
from kumoi.engine.http.request import Reply

VERSIONS = versions.Microversions("placement", first=(1, 0), last=(1, 39))


def index(_request: Request) -> Reply:
    shown = {
        "id": "v1.0",
        "min_version": versions.text(VERSIONS.first),
        "max_version": versions.text(VERSIONS.last),
        "status": "CURRENT",
        "links": [{"rel": "self", "href": ""}],
    }
    return Reply(200, {"versions": [shown]})
