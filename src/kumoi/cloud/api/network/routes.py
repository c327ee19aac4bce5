"""The route table of the network service, and the rules that its policies name."""

from __future__ import annotations

from typing import Any

from kumoi.cloud.api import errors, policy
from kumoi.cloud.api.network import (
    agent,
    availability_zone,
    extension,
    floating_ip,
    network,
    network_ip_availability,
    port,
    quota,
    rbac_policy,
    router,
    security_group,
    security_group_rule,
    service_provider,
    subnet,
    subnet_pool,
    version,
)
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.network.tag import TagHandlers
from kumoi.cloud.api.token import SCHEMES
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service

POLICIES: dict[str, policy.Rule] = {
    "network:read": policy.reader,
    "network:write": policy.member,
    "network:operate": policy.admin,
}
READ, WRITE, OPERATE = POLICIES


def nouns(path: str, resource: Resource[Any]) -> tuple[Route, ...]:
    """The routes that every noun has."""
    return (
        Route("POST", path, resource.create, WRITE),
        Route("GET", path, resource.index, READ),
        Route("GET", f"{path}/{{id}}", resource.show, READ),
        Route("PUT", f"{path}/{{id}}", resource.update, WRITE),
        Route("DELETE", f"{path}/{{id}}", resource.delete, WRITE),
    )


def tags(words: str) -> tuple[Route, ...]:
    """The routes of a noun's tags."""
    handlers, path = TagHandlers(words), f"/v2.0/{words}/{{id}}/tags"
    return (
        Route("GET", path, handlers.index, READ),
        Route("PUT", path, handlers.replace, WRITE),
        Route("POST", path, handlers.add_many, WRITE),
        Route("DELETE", path, handlers.clear, WRITE),
        Route("GET", f"{path}/{{tag}}", handlers.show, READ),
        Route("PUT", f"{path}/{{tag}}", handlers.add, WRITE),
        Route("DELETE", f"{path}/{{tag}}", handlers.remove, WRITE),
    )


RULES = "/v2.0/security-group-rules"

ROUTES = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", "/v2.0", version.show, OPEN),
    *nouns("/v2.0/networks", network.RESOURCE),
    *nouns("/v2.0/subnets", subnet.RESOURCE),
    *nouns("/v2.0/subnetpools", subnet_pool.RESOURCE),
    *nouns("/v2.0/ports", port.RESOURCE),
    *nouns("/v2.0/routers", router.RESOURCE),
    Route("PUT", "/v2.0/routers/{id}/add_router_interface", router.add_interface, WRITE),
    Route("PUT", "/v2.0/routers/{id}/remove_router_interface", router.remove_interface, WRITE),
    Route("PUT", "/v2.0/routers/{id}/add_extraroutes", router.add_extra_routes, WRITE),
    Route("PUT", "/v2.0/routers/{id}/remove_extraroutes", router.remove_extra_routes, WRITE),
    *nouns("/v2.0/floatingips", floating_ip.RESOURCE),
    *nouns("/v2.0/security-groups", security_group.RESOURCE),
    Route("POST", RULES, security_group_rule.RESOURCE.create, WRITE),
    Route("GET", RULES, security_group_rule.RESOURCE.index, READ),
    Route("GET", f"{RULES}/{{id}}", security_group_rule.RESOURCE.show, READ),
    Route("DELETE", f"{RULES}/{{id}}", security_group_rule.RESOURCE.delete, WRITE),
    *tags("networks"),
    *tags("subnets"),
    *tags("subnetpools"),
    *tags("ports"),
    *tags("routers"),
    *tags("floatingips"),
    *tags("security-groups"),
    Route("GET", "/v2.0/quotas", quota.index, OPERATE),
    Route("GET", "/v2.0/quotas/{id}", quota.show, READ),
    Route("GET", "/v2.0/quotas/{id}/default", quota.show_default, READ),
    Route("GET", "/v2.0/quotas/{id}/details", quota.show_details, READ),
    Route("PUT", "/v2.0/quotas/{id}", quota.update, OPERATE),
    Route("DELETE", "/v2.0/quotas/{id}", quota.delete, OPERATE),
    Route("GET", "/v2.0/extensions", extension.index, READ),
    Route("GET", "/v2.0/extensions/{id}", extension.show, READ),
    Route("GET", "/v2.0/agents", agent.index, READ),
    Route("GET", "/v2.0/agents/{id}", agent.show, READ),
    Route("GET", "/v2.0/availability_zones", availability_zone.index, READ),
    Route("GET", "/v2.0/network-ip-availabilities", network_ip_availability.index, OPERATE),
    Route("GET", "/v2.0/network-ip-availabilities/{id}", network_ip_availability.show, OPERATE),
    Route("GET", "/v2.0/rbac-policies", rbac_policy.index, READ),
    Route("GET", "/v2.0/rbac-policies/{id}", rbac_policy.show, READ),
    Route("GET", "/v2.0/service-providers", service_provider.index, READ),
)

SERVICE = Service(
    type="network",
    prefix="network",
    routes=ROUTES,
    policies=POLICIES,
    schemes=SCHEMES,
    envelope=errors.network,
    statuses=errors.NETWORK_STATUSES,
    challenge=errors.CHALLENGE,
)
