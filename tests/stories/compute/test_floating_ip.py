"""Floating IPs as compute has them, in the versions that do."""

from __future__ import annotations

from typing import Any

from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench

LAST, GONE = "2.35", "2.36"


def get(who: Connection, path: str, version: str = LAST) -> Any:
    answer = who.compute.get(path, microversion=version)
    assert answer.status_code == 200, answer.text
    return answer.json()


def act(who: Connection, server_id: str, body: dict[str, Any], version: str = "2.43") -> Any:
    return who.compute.post(f"/servers/{server_id}/action", json=body, microversion=version)


def routed(bench: Workbench, public: Any) -> Any:
    """A server behind a router to the external network."""
    network = bench.connection.network
    made = bench.active()
    (subnet,) = network.subnets(network_id=bench.network_id)
    router = network.create_router(external_gateway_info={"network_id": public.id})
    network.add_interface_to_router(router, subnet_id=subnet.id)
    return made


def allocated(who: Connection, pool: str | None) -> dict[str, Any]:
    answer = who.compute.post("/os-floating-ips", json={"pool": pool}, microversion=LAST)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()["floating_ip"]
    return made


def test_a_floating_ip_is_allocated_given_to_a_server_and_taken_back(
    bench: Workbench, demo: Connection, neighbour: Connection, public: Any
) -> None:
    made = routed(bench, public)
    assert {"name": public.name} in get(demo, "/os-floating-ip-pools")["floating_ip_pools"]
    floating = allocated(demo, public.name)
    assert (floating["pool"], floating["fixed_ip"], floating["instance_id"]) == (
        public.name,
        None,
        None,
    )
    path = f"/os-floating-ips/{floating['id']}"
    assert get(demo, path) == {"floating_ip": floating}
    assert floating in get(demo, "/os-floating-ips")["floating_ips"]
    add = {"addFloatingIp": {"address": floating["ip"]}}
    assert act(neighbour, made.id, add).status_code == 404
    assert act(demo, made.id, add).status_code == 202
    shown = get(demo, path)["floating_ip"]
    assert shown["instance_id"] == made.id
    addresses = [each["addr"] for each in bench.show(made).addresses["private"]]
    assert addresses == [shown["fixed_ip"], floating["ip"]]
    other = bench.active("other")
    remove = {"removeFloatingIp": {"address": floating["ip"]}}
    assert act(demo, other.id, remove).status_code == 409
    assert act(demo, made.id, remove).status_code == 202
    assert get(demo, path)["floating_ip"] == floating
    assert neighbour.compute.delete(path, microversion=LAST).status_code == 404
    assert demo.compute.delete(path, microversion=LAST).status_code == 202
    assert demo.compute.get(path, microversion=LAST).status_code == 404
    assert demo.network.find_ip(floating["ip"]) is None


def test_a_floating_ip_goes_to_the_address_that_is_named(
    bench: Workbench, demo: Connection, public: Any
) -> None:
    made = routed(bench, public)
    floating = allocated(demo, public.id)
    (fixed,) = [each["addr"] for each in bench.show(made).addresses["private"]]

    def add(**values: str) -> int:
        status: int = act(demo, made.id, {"addFloatingIp": values}).status_code
        return status

    assert add(address=floating["ip"], fixed_address="10.206.0.250") == 400
    assert add(address="10.201.0.99") == 404
    assert add(address="") == 404
    assert add(address=floating["ip"], fixed_address=fixed) == 202
    second = allocated(demo, public.name)
    assert add(address=second["ip"]) == 400  # It has one on that network.
    body = {"addFloatingIp": {"address": floating["ip"]}}
    assert act(demo, made.id, body, "2.44").status_code == 404


def test_a_server_that_no_router_reaches_gets_no_floating_ip(
    bench_of_other: Workbench, other: Connection, public: Any
) -> None:
    made = bench_of_other.active()
    body = {"addFloatingIp": {"address": allocated(other, public.name)["ip"]}}
    answer = act(other, made.id, body)
    assert (answer.status_code, "not reachable" in answer.text) == (400, True)
    other.compute.delete_server(made)


def test_a_pool_that_is_none_or_empty_gives_nothing(tenant: Connection, public: Any) -> None:
    answer = tenant.compute.post("/os-floating-ips", json={"pool": "mars"}, microversion=LAST)
    assert (answer.status_code, "pool not found" in answer.text) == (404, True)
    taken = []
    while True:
        answer = tenant.compute.post(
            "/os-floating-ips", json={"pool": public.name}, microversion=LAST
        )
        if answer.status_code != 200:
            break
        taken.append(answer.json()["floating_ip"]["id"])
        assert len(taken) <= 13
    assert (answer.status_code, "No more floating IPs" in answer.text) == (404, True)
    for key in taken:
        tenant.network.delete_ip(key)


def test_floating_ips_of_the_default_pool_are_for_who_names_none(
    tenant: Connection, public: Any
) -> None:
    for body in (None, {}, {"pool": None}):
        answer = tenant.compute.post("/os-floating-ips", json=body, microversion=LAST)
        assert answer.status_code == 200, answer.text
        tenant.network.delete_ip(answer.json()["floating_ip"]["id"])
    for path in ("/os-floating-ips", "/os-floating-ip-pools"):
        assert tenant.compute.get(path, microversion=GONE).status_code == 404
