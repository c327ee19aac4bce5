"""Every noun of an API has its story, and the network API lists all of its nouns."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.cloud.api.network import version
from kumoi.engine.http.routing import Route
from kumoi.engine.http.service import Service
from tests.guards import reference

STORIES = Path(__file__).parents[1] / "stories"
OURS_ALONE = (
    "pipeline",
    "git",
    "runner",
    "reports",
    "environments",
)  # No noun of openstacksdk's; their stories are by task.
CLOUD = [service for service in reference.services() if service.type not in OURS_ALONE]
TOLD_ELSEWHERE = {
    "identity/domain": "test_group",
    "identity/endpoint": "test_catalog",
    "identity/region": "test_catalog",
    "identity/service": "test_catalog",
    "image/member": "test_visibility",
    "image/schemas": "test_image",
    "image/task": "test_image_import",
    "network/agent": "test_service",
    "network/availability_zone": "test_service",
    "network/extension": "test_service",
    "network/network_ip_availability": "test_service",
    "network/security_group_rule": "test_security_group",
    "network/service_provider": "test_service",
    "compute/extension": "test_older_version",
    "compute/hypervisor": "test_host",
    "compute/instance_action": "test_server_action",
    "compute/interface": "test_server_action",
    "compute/security_group": "test_older_version",
    "compute/server_metadata": "test_server",
    "compute/server_tag": "test_server",
    "compute/service": "test_host",
    "compute/usage": "test_quota",
    "compute/volume_attachment": "test_server",
    "load_balancer/provider": "test_service",
}
"""The story file of a noun that has none of its own. The list may only shrink."""


def noun(route: Route) -> str:
    """The service and the module that answer a route; of a Resource, the one that has it."""
    resource = getattr(route.handler, "__self__", None)
    module = getattr(resource, "new", route.handler).__module__
    return "/".join(module.split(".")[-2:])


@pytest.mark.parametrize("service", CLOUD, ids=lambda service: str(service.type))
def test_every_noun_has_a_story(service: Service) -> None:
    nouns = {noun(route) for route in service.routes}
    discovery = {each for each in nouns if each.endswith("/version")}  # Every story begins there.
    missing = []
    for each in sorted(nouns - discovery):
        folder, name = each.split("/")
        if not (STORIES / folder / f"{TOLD_ELSEWHERE.get(each, f'test_{name}')}.py").exists():
            missing.append(each)
    assert missing == []


def test_the_network_api_lists_what_it_can_make() -> None:
    (network,) = [service for service in CLOUD if service.type == "network"]
    made = {
        route.path.removeprefix("/v2.0/")
        for route in network.routes
        if route.method == "POST" and route.path.count("/") == 2
    }
    assert sorted(made - set(version.RESOURCES.values())) == []
