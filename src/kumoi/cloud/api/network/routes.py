"""The route table of the network service, and the rules that its policies name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kumoi.cloud.api import errors
from kumoi.cloud.api.network import (
    address_group,
    address_scope,
    agent,
    availability_zone,
    default_security_group_rule,
    extension,
    floating_ip,
    network,
    network_ip_availability,
    port,
    port_forwarding,
    qos_policy,
    qos_rule,
    quota,
    router,
    security_group,
    security_group_rule,
    service_provider,
    subnet,
    subnet_pool,
    version,
)
from kumoi.cloud.api.network.qos_rule import RuleHandlers
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.network.tag import TagHandlers
from kumoi.cloud.api.token import SCHEMES
from kumoi.cloud.store.network.qos_rule import QosKind
from kumoi.engine.http.routing import OPEN, Route
from kumoi.engine.http.service import Service
from kumoi.policy.table import TABLE


def nouns(path: str, resource: Resource[Any]) -> tuple[Route, ...]:
    """The routes that every noun has."""
    return (
        Route("POST", path, resource.create, f"create_{resource.rule}"),
        Route("GET", path, resource.index, f"get_{resource.rule}"),
        Route("GET", f"{path}/{{id}}", resource.show, f"get_{resource.rule}"),
        Route("PUT", f"{path}/{{id}}", resource.update, f"update_{resource.rule}"),
        Route("DELETE", f"{path}/{{id}}", resource.delete, f"delete_{resource.rule}"),
    )


def tags(words: str) -> tuple[Route, ...]:
    """The routes of a noun's tags."""
    handlers, path = TagHandlers(words), f"/v2.0/{words}/{{id}}/tags"
    read, write, delete = (f"{verb}_{handlers.rule}_tags" for verb in ("get", "update", "delete"))
    return (
        Route("GET", path, handlers.index, read),
        Route("PUT", path, handlers.replace, write),
        Route("POST", path, handlers.add_many, write),
        Route("DELETE", path, handlers.clear, delete),
        Route("GET", f"{path}/{{tag}}", handlers.show, read),
        Route("PUT", f"{path}/{{tag}}", handlers.add, write),
        Route("DELETE", f"{path}/{{tag}}", handlers.remove, delete),
    )


def qos_rules(kind: QosKind) -> tuple[Route, ...]:
    """The routes of a policy's rules of one kind. Whoever may not see the policy finds no rule to change (404);
    whoever may and has not the right is refused by the domain (403).
    """
    handlers, path = RuleHandlers(kind), f"{QOS}/{{id}}/{kind}_rules"
    rule = f"policy_{kind}_rule"
    return (
        Route("POST", path, handlers.create, f"create_{rule}"),
        Route("GET", path, handlers.index, f"get_{rule}"),
        Route("GET", f"{path}/{{key}}", handlers.show, f"get_{rule}"),
        Route("PUT", f"{path}/{{key}}", handlers.update, f"get_{rule}"),
        Route("DELETE", f"{path}/{{key}}", handlers.delete, f"get_{rule}"),
    )


QOS = "/v2.0/qos/policies"
FIRST_RULES = "/v2.0/default-security-group-rules"
FORWARDINGS = "/v2.0/floatingips/{id}/port_forwardings"
RULES = "/v2.0/security-group-rules"

ROUTES = (
    Route("GET", "/", version.index, OPEN),
    Route("GET", "/v2.0", version.show, OPEN),
    *nouns("/v2.0/networks", network.RESOURCE),
    *nouns("/v2.0/subnets", subnet.RESOURCE),
    *nouns("/v2.0/subnetpools", subnet_pool.RESOURCE),
    Route("PUT", "/v2.0/subnetpools/{id}/add_prefixes", subnet_pool.add_prefixes, "add_prefixes"),
    Route(
        "PUT",
        "/v2.0/subnetpools/{id}/remove_prefixes",
        subnet_pool.remove_prefixes,
        "remove_prefixes",
    ),
    *nouns("/v2.0/address-scopes", address_scope.RESOURCE),
    *nouns("/v2.0/ports", port.RESOURCE),
    *nouns("/v2.0/routers", router.RESOURCE),
    Route(
        "PUT",
        "/v2.0/routers/{id}/add_router_interface",
        router.add_interface,
        "add_router_interface",
    ),
    Route(
        "PUT",
        "/v2.0/routers/{id}/remove_router_interface",
        router.remove_interface,
        "remove_router_interface",
    ),
    Route("PUT", "/v2.0/routers/{id}/add_extraroutes", router.add_extra_routes, "add_extraroutes"),
    Route(
        "PUT",
        "/v2.0/routers/{id}/remove_extraroutes",
        router.remove_extra_routes,
        "remove_extraroutes",
    ),
    *nouns("/v2.0/floatingips", floating_ip.RESOURCE),
    Route("POST", FORWARDINGS, port_forwarding.create, "create_floatingip_port_forwarding"),
    Route("GET", FORWARDINGS, port_forwarding.index, "get_floatingip_port_forwarding"),
    Route("GET", f"{FORWARDINGS}/{{key}}", port_forwarding.show, "get_floatingip_port_forwarding"),
    Route(
        "PUT", f"{FORWARDINGS}/{{key}}", port_forwarding.update, "update_floatingip_port_forwarding"
    ),
    Route(
        "DELETE",
        f"{FORWARDINGS}/{{key}}",
        port_forwarding.delete,
        "delete_floatingip_port_forwarding",
    ),
    *nouns("/v2.0/security-groups", security_group.RESOURCE),
    Route("POST", RULES, security_group_rule.RESOURCE.create, "create_security_group_rule"),
    Route("GET", RULES, security_group_rule.RESOURCE.index, "get_security_group_rule"),
    Route("GET", f"{RULES}/{{id}}", security_group_rule.RESOURCE.show, "get_security_group_rule"),
    Route(
        "DELETE",
        f"{RULES}/{{id}}",
        security_group_rule.RESOURCE.delete,
        "delete_security_group_rule",
    ),
    Route(
        "POST",
        FIRST_RULES,
        default_security_group_rule.RESOURCE.create,
        "create_default_security_group_rule",
    ),
    Route(
        "GET",
        FIRST_RULES,
        default_security_group_rule.RESOURCE.index,
        "get_default_security_group_rule",
    ),
    Route(
        "GET",
        f"{FIRST_RULES}/{{id}}",
        default_security_group_rule.RESOURCE.show,
        "get_default_security_group_rule",
    ),
    Route(
        "DELETE",
        f"{FIRST_RULES}/{{id}}",
        default_security_group_rule.RESOURCE.delete,
        "delete_default_security_group_rule",
    ),
    *(replace(route, policy="get_policy") for route in nouns(QOS, qos_policy.RESOURCE)),
    *qos_rules(QosKind.BANDWIDTH_LIMIT),
    *qos_rules(QosKind.DSCP_MARKING),
    Route("GET", "/v2.0/qos/rule-types", qos_rule.types, "get_rule_type"),
    Route("GET", "/v2.0/qos/rule-types/{id}", qos_rule.show_type, "get_rule_type"),
    *nouns("/v2.0/address-groups", address_group.RESOURCE),
    Route(
        "PUT",
        "/v2.0/address-groups/{id}/add_addresses",
        address_group.add_addresses,
        "update_address_group",
    ),
    Route(
        "PUT",
        "/v2.0/address-groups/{id}/remove_addresses",
        address_group.remove_addresses,
        "update_address_group",
    ),
    *tags("networks"),
    *tags("subnets"),
    *tags("subnetpools"),
    *tags("ports"),
    *tags("routers"),
    *tags("floatingips"),
    *tags("security-groups"),
    *tags("policies"),
    Route("GET", "/v2.0/quotas", quota.index, "get_quotas"),
    Route("GET", "/v2.0/quotas/{id}", quota.show, "get_quota"),
    Route("GET", "/v2.0/quotas/{id}/default", quota.show_default, "get_quota"),
    Route("GET", "/v2.0/quotas/{id}/details", quota.show_details, "get_quota"),
    Route("PUT", "/v2.0/quotas/{id}", quota.update, "update_quota"),
    Route("DELETE", "/v2.0/quotas/{id}", quota.delete, "delete_quota"),
    Route("GET", "/v2.0/extensions", extension.index, "get_extension"),
    Route("GET", "/v2.0/extensions/{id}", extension.show, "get_extension"),
    Route("GET", "/v2.0/agents", agent.index, "get_agent"),
    Route("GET", "/v2.0/agents/{id}", agent.show, "get_agent"),
    Route("GET", "/v2.0/agents/{id}/dhcp-networks", agent.scheduled, "get_agent_schedule"),
    Route("GET", "/v2.0/agents/{id}/l3-routers", agent.scheduled, "get_agent_schedule"),
    Route("GET", "/v2.0/networks/{id}/dhcp-agents", agent.hosting_network, "get_agent_schedule"),
    Route("GET", "/v2.0/routers/{id}/l3-agents", agent.hosting_router, "get_agent_schedule"),
    Route("PUT", "/v2.0/agents/{id}", agent.update, "update_agent"),
    Route("DELETE", "/v2.0/agents/{id}", agent.delete, "delete_agent"),
    Route("GET", "/v2.0/availability_zones", availability_zone.index, "get_availability_zone"),
    Route(
        "GET",
        "/v2.0/network-ip-availabilities",
        network_ip_availability.index,
        "get_network_ip_availability",
    ),
    Route(
        "GET",
        "/v2.0/network-ip-availabilities/{id}",
        network_ip_availability.show,
        "get_network_ip_availability",
    ),
    Route("GET", "/v2.0/service-providers", service_provider.index, "get_service_provider"),
)

SERVICE = Service(
    type="network",
    prefix="network",
    routes=ROUTES,
    policies=TABLE,
    schemes=SCHEMES,
    envelope=errors.network,
    statuses=errors.NETWORK_STATUSES,
    challenge=errors.CHALLENGE,
)
