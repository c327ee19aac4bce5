"""What there is to choose from: one provider, no flavors, no availability zones, no amphorae."""

from __future__ import annotations

from kumoi.base.errors import NotFound, Unsupported
from kumoi.cloud.api.load_balancer.rendering import PROVIDER
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

PROVIDERS = [
    {
        "name": PROVIDER,
        "description": "Balances on every host by OVN; there is no server per load balancer.",
    }
]


def index(_request: Request) -> Reply:
    return Reply(200, {"providers": PROVIDERS})


def flavor_capabilities(request: Request) -> Reply:
    """Nothing can be chosen by a flavor."""
    _require_known(request.path["name"])
    return Reply(200, {"flavor_capabilities": []})


def availability_zone_capabilities(request: Request) -> Reply:
    _require_known(request.path["name"])
    return Reply(200, {"availability_zone_capabilities": []})


def flavors(_request: Request) -> Reply:
    return Reply(200, {"flavors": []})


def availability_zones(_request: Request) -> Reply:
    return Reply(200, {"availability_zones": []})


def amphorae(_request: Request) -> Reply:
    raise Unsupported("there are no amphorae: load balancers need no servers here")


def _require_known(name: str) -> None:
    if name != PROVIDER:
        raise NotFound("provider", name, message=f"Provider '{name}' was not found.")
