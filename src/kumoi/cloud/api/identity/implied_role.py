"""Which role implies which, as operators add to it: what is shown."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import role as domain
from kumoi.cloud.domain.identity import role_rules
from kumoi.cloud.store.identity.implied_role import ImpliedRole
from kumoi.cloud.store.identity.role import IdentityRole
from kumoi.engine.http.request import Reply


def of_role(request: Request) -> Reply:
    """The roles that a role implies directly."""
    with request.read() as connection:
        found = domain.get(connection, request.path["id"])
        rules = role_rules.load(connection)
    implies = [rules.roles[key] for key in rules.implied.get(found.id, ())]
    shown = {
        "prior_role": _short(request, found),
        "implies": [_short(request, row) for row in implies],
    }
    links = rendering.link(request, "roles", found.id, "implies")
    return Reply(200, {"role_inference": shown, "links": links})


def create(request: Request) -> Reply:
    row = _named(request)
    with request.write() as connection:
        domain.imply(connection, row)
        shown = _pair(request, *domain.require_implied(connection, row))
    return Reply(201, shown)


def show(request: Request) -> Reply:
    with request.read() as connection:
        shown = _pair(request, *domain.require_implied(connection, _named(request)))
    return Reply(200, shown)


def check(request: Request) -> Reply:
    with request.read() as connection:
        domain.require_implied(connection, _named(request))
    return Reply(204)


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.end_implying(connection, _named(request), request.services.clock.now())
    rendering.ended(request)
    return Reply(204)


def every(request: Request) -> Reply:
    """All rules."""
    with request.read() as connection:
        rules = role_rules.load(connection)
    shown = [
        {
            "prior_role": _short(request, rules.roles[prior]),
            "implies": [_short(request, rules.roles[key]) for key in rules.implied[prior]],
        }
        for prior in sorted(rules.implied)
    ]
    return Reply(200, rendering.page(request, "role_inferences", shown))


def _named(request: Request) -> ImpliedRole:
    return ImpliedRole(request.path["id"], request.path["implied_id"])


def _pair(request: Request, prior: IdentityRole, implied: IdentityRole) -> dict[str, Any]:
    shown = {"prior_role": _short(request, prior), "implies": _short(request, implied)}
    links = rendering.link(request, "roles", prior.id, "implies", implied.id)
    return {"role_inference": shown, "links": links}


def _short(request: Request, row: IdentityRole) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "links": rendering.link(request, "roles", row.id)}
