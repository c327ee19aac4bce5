"""Quotas: what is accepted and what is shown. A project sees its own; administrators all."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from kumoi.cloud.api.load_balancer import body
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import quota as domain
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

QuotaLimit = Annotated[int, msgspec.Meta(ge=-1, le=2_000_000_000)]
RULE = "os_load-balancer_api:quota"
OLD_WORDS = {"load_balancer": "loadbalancer", "health_monitor": "healthmonitor"}


class LoadBalancerQuotaChanges(Body):
    loadbalancer: QuotaLimit | Unset | None = UNSET
    load_balancer: QuotaLimit | Unset | None = UNSET
    listener: QuotaLimit | Unset | None = UNSET
    pool: QuotaLimit | Unset | None = UNSET
    member: QuotaLimit | Unset | None = UNSET
    healthmonitor: QuotaLimit | Unset | None = UNSET
    health_monitor: QuotaLimit | Unset | None = UNSET
    l7policy: QuotaLimit | Unset | None = UNSET
    l7rule: QuotaLimit | Unset | None = UNSET


def index(request: Request) -> Reply:
    """Of all projects that have limits of their own."""
    with request.read() as connection:
        found = domain.every(connection)
    return Reply(
        200, {"quotas": [_shown(limits) | {"project_id": key} for key, limits in found.items()]}
    )


def show(request: Request) -> Reply:
    request.caller.check(f"{RULE}:get_one", request.path["id"])
    with request.read() as connection:
        limits = domain.limits(connection, request.path["id"])
    return Reply(200, {"quota": _shown(limits)})


def show_default(request: Request) -> Reply:
    request.caller.check(f"{RULE}:get_defaults", request.path["id"])
    return Reply(200, {"quota": _shown(domain.DEFAULTS)})


def show_defaults(_request: Request) -> Reply:
    return Reply(200, {"quota": _shown(domain.DEFAULTS)})


def update(request: Request) -> Reply:
    """Null is the default."""
    changed = body.one(request, "quota", LoadBalancerQuotaChanges)
    defaults = domain.DEFAULTS | {old: domain.DEFAULTS[new] for old, new in OLD_WORDS.items()}
    said = body.changes(changed, defaults)
    values = {OLD_WORDS.get(name, name): most for name, most in said.items()}
    with request.write() as connection:
        limits = domain.update(connection, request.path["id"], values)
    return Reply(202, {"quota": _shown(limits)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.reset(connection, request.path["id"])
    return Reply(204)


def _shown(limits: dict[str, int]) -> dict[str, Any]:
    """Also by the words of old."""
    return {**limits, **{old: limits[new] for old, new in OLD_WORDS.items()}}
