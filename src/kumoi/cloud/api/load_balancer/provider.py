"""What there is to choose from: one provider, and what flavors and zones can say of a balancer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kumoi.base.errors import NotFound
from kumoi.cloud.api.load_balancer import query
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer.capability import CAPABILITIES, PROVIDER
from kumoi.cloud.store.load_balancer import choice
from kumoi.engine.http.request import Reply

PROVIDERS = {
    PROVIDER: "Balances on every host by OVN; there is no server per load balancer and a failover has"
    " nothing to do."
}


def index(request: Request) -> Reply:
    return _listed(request, "providers", PROVIDERS)


def flavor_capabilities(request: Request) -> Reply:
    return _capabilities(request, choice.FLAVOR)


def availability_zone_capabilities(request: Request) -> Reply:
    return _capabilities(request, choice.ZONE)


def amphorae(_request: Request) -> Reply:
    """There are none: balancers need no servers here."""
    return Reply(200, {"amphorae": []})


def amphora(request: Request) -> Reply:
    key = request.path["id"]
    raise NotFound("amphora", key, message=f"Amphora {key} not found.")


def _capabilities(request: Request, kind: str) -> Reply:
    name = request.path["name"]
    if name != PROVIDER:
        raise NotFound("provider", name, message=f"Provider '{name}' was not found.")
    return _listed(request, f"{kind}_capabilities", CAPABILITIES[kind])


def _listed(request: Request, words: str, described: Mapping[str, str]) -> Reply:
    """Filtered by name and description, with the fields that are asked for."""
    wanted = query.fields(request)
    rows = [{"name": name, "description": text} for name, text in described.items()]
    shown = [
        {name: value for name, value in row.items() if not wanted or name in wanted}
        for row in rows
        if all(_fits(row[name], request.query_all(name)) for name in row)
    ]
    return Reply(200, {words: shown})


def _fits(value: str, wanted: Sequence[str]) -> bool:
    return not wanted or value in wanted
