"""What the service says of itself, and how it answers what no noun answers."""

from __future__ import annotations

import httpx
import pytest
from openstack.connection import Connection

from tests.running_cloud import RunningCloud
from tests.stories.network.conftest import Raw


def test_versions_are_told_to_everybody(cloud: RunningCloud, http: httpx.Client) -> None:
    (version,) = http.get("/network/").json()["versions"]
    assert (version["id"], version["status"]) == ("v2.0", "CURRENT")
    assert version["links"] == [{"rel": "self", "href": f"{cloud.url}/network/v2.0/"}]
    resources = http.get("/network/v2.0/").json()["resources"]
    assert {"network", "subnet", "port"} <= {resource["name"] for resource in resources}


def test_extensions_zones_and_providers_are_listed(demo: Connection) -> None:
    aliases = {extension.alias for extension in demo.network.extensions()}
    assert {"router", "security-group", "quotas", "pagination"} <= aliases
    assert demo.network.find_extension("router").name == "Neutron L3 Router"
    assert [zone.resource for zone in demo.network.availability_zones()] == ["network", "router"]
    assert list(demo.network.service_providers()) == []


def test_agents_are_the_hosts_and_only_administrators_see_them(
    demo: Connection, admin: Connection
) -> None:
    (agent,) = admin.network.agents()
    assert (agent.host, agent.is_alive) == ("host1", True)
    assert admin.network.get_agent(agent.id).binary == "ovn-controller"
    assert list(demo.network.agents()) == []
    assert demo.network.get(f"/agents/{agent.id}").status_code == 404


def test_the_addresses_used_are_counted(demo: Connection, admin: Connection) -> None:
    network = demo.network.create_network(name="counted")
    demo.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/29")
    demo.network.create_port(network_id=network.id)
    found = admin.network.get_network_ip_availability(network.id)
    assert (found.total_ips, found.used_ips) == (5, 1)
    (listed,) = admin.network.network_ip_availabilities(network_name="counted")
    assert (listed.network_id, listed.total_ips, listed.used_ips) == (network.id, 5, 1)
    assert list(admin.network.network_ip_availabilities(network_name="counted", ip_version=6)) == []
    for path in ("/network-ip-availabilities", f"/network-ip-availabilities/{network.id}"):
        assert demo.network.get(path).status_code == 403


@pytest.mark.parametrize(
    ("alias", "path"),
    [
        ("rbac-policies", "rbac-policies"),
        ("metering", "metering/metering-labels"),
        ("trunk", "trunks"),
        ("dhcp_agent_scheduler", "agents/7/dhcp-networks"),
    ],
)
def test_what_is_not_offered_is_neither_listed_nor_there(
    admin: Connection, raw_admin: Raw, alias: str, path: str
) -> None:
    assert alias not in {extension.alias for extension in admin.network.extensions()}
    assert raw_admin("GET", f"extensions/{alias}").status_code == 404
    if path:
        assert raw_admin("GET", path).status_code == 404


def test_without_a_token_or_with_a_bad_body_nothing_happens(
    demo: Connection, http: httpx.Client, raw: Raw
) -> None:
    assert http.get("/network/v2.0/networks").status_code == 401
    headers = {"X-Auth-Token": demo.auth_token}
    for content in (b"", b"{", b"[]", b'{"network": 1}', b'{"port": {}}', b"[" * 100_000):
        answer = http.post("/network/v2.0/networks", content=content, headers=headers)
        assert (answer.status_code, set(answer.json())) == (400, {"NeutronError"})
    huge = b'{"network": {"name": "' + b"x" * 2_000_000 + b'"}}'
    assert http.post("/network/v2.0/networks", content=huge, headers=headers).status_code == 413
    assert raw("GET", "unicorns").status_code == 404
    assert raw("PATCH", "networks").status_code == 405
    assert list(demo.network.networks(project_id=demo.current_project_id)) == []


@pytest.mark.parametrize("noun", ["networks", "routers"])
def test_a_status_that_is_the_same_everywhere_filters_and_sorts(
    demo: Connection, raw: Raw, noun: str
) -> None:
    for name in ("b", "a"):
        raw("POST", noun, {noun[:-1]: {"name": name}})

    def names(query: str) -> list[str]:
        path = f"{noun}?project_id={demo.current_project_id}&{query}"
        return [each["name"] for each in raw("GET", path).json()[noun]]

    both = names("sort_key=status&sort_key=name&sort_dir=desc&sort_dir=asc")
    assert [name for name in both if name in ("a", "b")] == ["a", "b"]
    assert set(names("status=ACTIVE&status=DOWN")) == set(both)
    assert names("status=DOWN") == []


def test_an_agent_is_as_its_host_is(admin: Connection, demo: Connection, raw_admin: Raw) -> None:
    (agent,) = admin.network.agents()
    path = f"agents/{agent.id}"
    assert raw_admin("PUT", path, {"agent": {"admin_state_up": True}}).status_code == 200
    found = raw_admin.fault("PUT", path, {"agent": {"admin_state_up": False}})
    assert found[0] == 400
    assert "compute service" in found[2]
    assert raw_admin.fault("DELETE", path)[0] == 409
    assert raw_admin.fault("DELETE", "agents/none")[0] == 404
    assert demo.network.delete(f"/{path}").status_code == 403


def test_no_agent_hosts_a_network_or_a_router(
    admin: Connection, demo: Connection, raw_admin: Raw
) -> None:
    (agent,) = admin.network.agents()
    network = admin.network.create_network(name="hosted")
    router = admin.network.create_router(name="hosted")
    assert list(admin.network.network_hosting_dhcp_agents(network)) == []
    assert list(admin.network.dhcp_agent_hosting_networks(agent)) == []
    assert list(admin.network.routers_hosting_l3_agents(router)) == []
    assert list(admin.network.agent_hosted_routers(agent)) == []
    for path in ("agents/none/l3-routers", "networks/none/dhcp-agents", "routers/none/l3-agents"):
        assert raw_admin("GET", path).status_code == 404
    assert demo.network.get(f"/networks/{network.id}/dhcp-agents").status_code == 403
