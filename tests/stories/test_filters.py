"""What a list does with a filter: it knows it, refuses it, or ignores it as the real service does.

Whoever deletes what a list has shown must not have been shown all because of a word that was not understood.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openstack.connection import Connection

from kumoi.cloud.api.network import routes as network
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.serve import SERVICES

HEADERS = {"compute": {"X-OpenStack-Nova-API-Version": "2.96"}}
NOBODY = "zzz-nobody"
MISFITS = ("true", "999999")
"""Values for filters that are no words: a boolean, a number."""

IGNORING = frozenset({"identity", "image", "load-balancer", "key-manager"})
"""Services of which the real ones pass over a filter that they do not know, in some lists or versions."""
WITHOUT_FILTERS = frozenset(
    {
        *("/", "/v2.0", "/v2.1", "/v2.0/extensions", "/v2.0/quotas", "/v2.1/extensions"),
        *("/v2.1/os-aggregates", "/v2.1/os-availability-zone", "/v2.1/os-availability-zone/detail"),
        "/v2.1/os-instance_usage_audit_log",
    }
)
PATHS = {"policies": "qos/policies"}


def lists() -> list[tuple[str, str]]:
    return [
        (service.prefix, route.path)
        for service in SERVICES
        for route in service.routes
        if route.method == "GET" and "{" not in route.path
    ]


def nouns() -> list[Resource[Any]]:
    """Those that the network service lists."""
    handlers = [route.handler for route in network.ROUTES if route.method == "GET"]
    owners = [getattr(handler, "__self__", None) for handler in handlers]
    found = {owner.words: owner for owner in owners if isinstance(owner, Resource)}
    return list(found.values())


def test_a_filter_that_is_not_known_is_refused_where_the_real_service_refuses_it(
    admin: Connection, http: httpx.Client
) -> None:
    wrong = []
    for prefix, path in lists():
        headers = {"X-Auth-Token": admin.auth_token, **HEADERS.get(prefix, {})}
        plain = http.get(f"/{prefix}{path}", headers=headers)
        asked = http.get(f"/{prefix}{path}?{NOBODY}=1", headers=headers)
        refuses = prefix not in IGNORING and path not in WITHOUT_FILTERS
        expected = {400} if refuses and plain.is_success else {plain.status_code, 400}
        if asked.status_code not in expected:
            wrong.append(f"{prefix} {path}: {asked.status_code}")
    assert wrong == []


@pytest.mark.parametrize("resource", nouns(), ids=lambda resource: resource.words)
def test_each_filter_of_the_network_service_filters(
    demo: Connection,
    admin: Connection,
    public: Any,
    http: httpx.Client,
    resource: Resource[Any],
) -> None:
    """One value at least finds nothing: a filter that is read and forgotten would find all."""
    headers = {"X-Auth-Token": demo.auth_token}
    path = f"/network/v2.0/{PATHS.get(resource.words, resource.words.replace('_', '-'))}"
    network = demo.network.create_network(name="seen")
    demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    demo.network.create_port(network_id=network.id)
    demo.network.create_router(name="seen")
    demo.network.create_subnet_pool(name="seen", prefixes=["10.0.0.0/16"])
    demo.network.create_address_group(name="seen", addresses=["10.0.0.0/16"])
    demo.network.create_address_scope(name="seen", ip_version=4)
    project = demo.current_project_id
    admin.network.create_qos_policy(name="seen", project_id=project)
    demo.network.create_ip(floating_network_id=public.id)
    everything = http.get(path, headers=headers).json()[resource.words]
    assert everything
    for name in (*resource.columns, *resource.special, *resource.constants, "id", "tags"):
        values = (NOBODY, *MISFITS, "false", "ip_address=10.99.99.99")
        answers = [http.get(path, params={name: value}, headers=headers) for value in values]
        assert {answer.status_code for answer in answers} <= {200, 400}, name
        found = [answer.json()[resource.words] for answer in answers if answer.is_success]
        assert found, name
        assert min(map(len, found)) < len(everything), name


def test_keystones_comparators_find_what_they_say(admin: Connection, http: httpx.Client) -> None:
    headers = {"X-Auth-Token": admin.auth_token}
    for words in ("projects", "users", "groups", "roles", "services", "domains"):
        for comparator in ("contains", "icontains", "startswith", "istartswith", "endswith"):
            path = f"/identity/v3/{words}?name__{comparator}={NOBODY}"
            assert http.get(path, headers=headers).json()[words] == [], path
