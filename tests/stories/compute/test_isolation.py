"""What a tenant says of another tenant's servers and ports changes nothing for that other one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openstack.connection import Connection
from openstack.exceptions import BadRequestException
from tests.stories.compute.conftest import Workbench

from kumoi.base.ids import new_hex_id


def test_a_port_that_says_it_is_anothers_servers_is_not(
    bench: Workbench, bench_of_other: Workbench
) -> None:
    """Else one tenant's network would be plugged into another tenant's server."""
    server = bench.active()
    network = bench_of_other.connection.network
    claimed = network.create_port(
        network_id=bench_of_other.network_id, device_id=server.id, device_owner="compute:nova"
    )
    spec = bench.spec(server)
    assert len(spec.ports) == 1
    assert claimed.id not in {port.id for port in spec.ports}
    assert len(list(bench.connection.compute.server_interfaces(server))) == 1
    assert list(bench.show(server).addresses) == ["private"]
    assert len(bench.show(server).addresses["private"]) == 1
    bench.connection.compute.delete_server(server)
    bench.cloud.host.settle()
    assert network.get_port(claimed.id).device_id == server.id


def test_a_port_of_anothers_on_ones_own_network_is_not_ones_own(
    bench: Workbench, other: Connection, admin: Connection
) -> None:
    admin.network.update_network(bench.network_id, is_shared=True)
    theirs = other.network.create_port(network_id=bench.network_id)
    with pytest.raises(BadRequestException, match=theirs.id):
        bench.server(networks=[{"port": theirs.id}])
    server = bench.active()
    with pytest.raises(BadRequestException, match=theirs.id):
        bench.connection.compute.create_server_interface(server, port_id=theirs.id)
    other.network.delete_port(theirs)
    admin.network.update_network(bench.network_id, is_shared=False)


def test_anothers_server_is_no_place_to_go_on_from(
    bench: Workbench, bench_of_other: Workbench, http: httpx.Client
) -> None:
    """What is listed after it would say what it holds: any column is a sort key."""
    server = bench.active(user_data="c2VjcmV0")
    for sort_key in ("user_data", "created_at"):
        answer = http.get(
            f"/compute/v2.1/servers?marker={server.id}&sort_key={sort_key}",
            headers={"X-Auth-Token": bench_of_other.connection.auth_token},
        )
        assert answer.status_code == 400


def test_anothers_network_is_no_place_to_go_on_from(
    bench: Workbench, other: Connection, http: httpx.Client
) -> None:
    answer = http.get(
        f"/network/v2.0/networks?limit=1&marker={bench.network_id}",
        headers={"X-Auth-Token": other.auth_token},
    )
    assert answer.status_code == 400


@pytest.mark.parametrize("scope", [{"domain": {"id": "default"}}, {"system": {"all": True}}])
def test_a_role_on_a_domain_or_the_system_shows_no_projects_things(
    bench: Workbench, admin: Connection, http: httpx.Client, scope: dict[str, Any]
) -> None:
    """Without a project to keep to, lists would show everybody's."""
    name = f"overseer-{new_hex_id()[:8]}"
    user = admin.identity.create_user(name=name, password=name, domain_id="default")
    role = admin.identity.find_role("member")
    target = "domains/default" if "domain" in scope else "system"
    admin.identity.put(f"/{target}/users/{user.id}/roles/{role.id}")
    identity = {"methods": ["password"], "password": {"user": {"id": user.id, "password": name}}}
    body = {"auth": {"identity": identity, "scope": scope}}
    logged_in = http.post("/identity/v3/auth/tokens", json=body)
    headers = {"X-Auth-Token": logged_in.headers["X-Subject-Token"]}
    assert bench.network_id
    for path in (
        "/network/v2.0/networks",
        "/network/v2.0/ports",
        "/network/v2.0/security-groups",
        "/compute/v2.1/servers",
        "/image/v2/images",
    ):
        assert http.get(path, headers=headers).status_code == 403, path
    assert http.post("/image/v2/images", json={"name": "x"}, headers=headers).status_code == 403
