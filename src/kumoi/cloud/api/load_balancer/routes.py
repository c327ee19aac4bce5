"""The route table of the load balancer service, and the rules that its policies name."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api import errors
from kumoi.cloud.api.load_balancer import (
    choice,
    choice_profile,
    health_monitor,
    l7_policy,
    l7_rule,
    listener,
    load_balancer,
    member,
    pool,
    provider,
    quota,
    version,
)
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.token import SCHEMES
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service
from kumoi.policy.table import TABLE

RULES = "os_load-balancer_api"
LBAAS = "/v2.0/lbaas"
BALANCERS = f"{LBAAS}/loadbalancers"
AMPHORAE = "/v2.0/octavia/amphorae"
MEMBERS = f"{LBAAS}/pools/{{id}}/members"


def nouns(path: str, resource: BalancingResource[Any], word: str = "") -> tuple[Route, ...]:
    """The routes that every noun has. `word` is the one of its rules, where it is another."""
    rule, one = f"{RULES}:{word or resource.word}", f"{path}/{{{resource.keys[-1]}}}"
    return (
        Route("POST", path, resource.create, f"{rule}:post"),
        Route("GET", path, resource.index, f"{rule}:get_all"),
        Route("GET", one, resource.show, f"{rule}:get_one"),
        Route("PUT", one, resource.update, f"{rule}:put"),
        Route("DELETE", one, resource.delete, f"{rule}:delete"),
    )


ROUTES = (
    Route("GET", "/", version.index, OPEN),
    *nouns(BALANCERS, load_balancer.RESOURCE)[:-1],
    Route("DELETE", f"{BALANCERS}/{{id}}", load_balancer.delete, f"{RULES}:loadbalancer:delete"),
    Route(
        "GET",
        f"{BALANCERS}/{{id}}/status",
        load_balancer.status,
        f"{RULES}:loadbalancer:get_status",
    ),
    Route(
        "GET",
        f"{BALANCERS}/{{id}}/statuses",
        load_balancer.status,
        f"{RULES}:loadbalancer:get_status",
    ),
    Route(
        "GET", f"{BALANCERS}/{{id}}/stats", load_balancer.stats, f"{RULES}:loadbalancer:get_stats"
    ),
    Route(
        "PUT",
        f"{BALANCERS}/{{id}}/failover",
        load_balancer.failover,
        f"{RULES}:loadbalancer:put_failover",
    ),
    *nouns(f"{LBAAS}/listeners", listener.RESOURCE),
    Route("GET", f"{LBAAS}/listeners/{{id}}/stats", listener.stats, f"{RULES}:listener:get_stats"),
    *nouns(f"{LBAAS}/pools", pool.RESOURCE),
    *nouns(MEMBERS, member.RESOURCE),
    Route("PUT", MEMBERS, member.replace_all, f"{RULES}:member:put"),
    *nouns(f"{LBAAS}/healthmonitors", health_monitor.RESOURCE),
    *nouns(f"{LBAAS}/l7policies", l7_policy.RESOURCE),
    *nouns(f"{LBAAS}/l7policies/{{id}}/rules", l7_rule.RESOURCE, "l7rule"),
    Route("GET", f"{LBAAS}/quotas", quota.index, f"{RULES}:quota:get_all"),
    Route("GET", f"{LBAAS}/quotas/defaults", quota.show_defaults, f"{RULES}:quota:get_defaults"),
    Route("GET", f"{LBAAS}/quotas/{{id}}", quota.show, f"{RULES}:quota:get_one"),
    Route(
        "GET", f"{LBAAS}/quotas/{{id}}/default", quota.show_default, f"{RULES}:quota:get_defaults"
    ),
    Route("PUT", f"{LBAAS}/quotas/{{id}}", quota.update, f"{RULES}:quota:put"),
    Route("DELETE", f"{LBAAS}/quotas/{{id}}", quota.delete, f"{RULES}:quota:delete"),
    Route("GET", f"{LBAAS}/providers", provider.index, f"{RULES}:provider:get_all"),
    Route(
        "GET",
        f"{LBAAS}/providers/{{name}}/flavor_capabilities",
        provider.flavor_capabilities,
        f"{RULES}:provider-flavor:get_all",
    ),
    Route(
        "GET",
        f"{LBAAS}/providers/{{name}}/availability_zone_capabilities",
        provider.availability_zone_capabilities,
        f"{RULES}:provider-availability-zone:get_all",
    ),
    *nouns(f"{LBAAS}/flavors", choice.FLAVORS),
    *nouns(f"{LBAAS}/flavorprofiles", choice_profile.FLAVORS, "flavor-profile"),
    *nouns(f"{LBAAS}/availabilityzones", choice.ZONES, "availability-zone"),
    *nouns(f"{LBAAS}/availabilityzoneprofiles", choice_profile.ZONES, "availability-zone-profile"),
    Route("GET", AMPHORAE, provider.amphorae, f"{RULES}:amphora:get_all"),
    Route("GET", f"{AMPHORAE}/{{id}}", provider.amphora, f"{RULES}:amphora:get_one"),
    Route("GET", f"{AMPHORAE}/{{id}}/stats", provider.amphora, f"{RULES}:amphora:get_stats"),
    Route("PUT", f"{AMPHORAE}/{{id}}/config", provider.amphora, f"{RULES}:amphora:put_config"),
    Route("PUT", f"{AMPHORAE}/{{id}}/failover", provider.amphora, f"{RULES}:amphora:put_failover"),
    Route("DELETE", f"{AMPHORAE}/{{id}}", provider.amphora, f"{RULES}:amphora:delete"),
)

SERVICE = Service(
    type="load-balancer",
    prefix="load-balancer",
    routes=ROUTES,
    policies=TABLE,
    schemes=SCHEMES,
    envelope=errors.load_balancer,
    challenge=errors.CHALLENGE,
)
