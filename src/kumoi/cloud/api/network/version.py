"""The versions of the network API (there is one), and its resources."""

from __future__ import annotations

from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

VERSION = "v2.0"

RESOURCES = {
    "network": "networks",
    "subnet": "subnets",
    "port": "ports",
    "router": "routers",
    "floatingip": "floatingips",
    "security_group": "security-groups",
    "security_group_rule": "security-group-rules",
    "default_security_group_rule": "default-security-group-rules",
    "policy": "qos/policies",
    "subnetpool": "subnetpools",
    "address_group": "address-groups",
    "address_scope": "address-scopes",
    "quota": "quotas",
    "extension": "extensions",
}


def index(request: Request) -> Reply:
    """GET / of the service."""
    version = {
        "id": VERSION,
        "status": "CURRENT",
        "links": [{"rel": "self", "href": f"{request.base}/{VERSION}/"}],
    }
    return Reply(200, {"versions": [version]})


def show(request: Request) -> Reply:
    """GET /v2.0/."""
    resources = [
        {
            "name": word,
            "collection": words,
            "links": [{"rel": "self", "href": f"{request.base}/{VERSION}/{words}"}],
        }
        for word, words in RESOURCES.items()
    ]
    return Reply(200, {"resources": resources})
