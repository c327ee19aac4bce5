"""What clients ask the load balancer service before they ask for anything."""

from __future__ import annotations

import httpx
from openstack.connection import Connection

from tests.stories.load_balancer.conftest import Raw


def test_versions_ascend_as_clients_take_the_last(http: httpx.Client) -> None:
    found = http.get("/load-balancer/").json()["versions"]
    ids = [tuple(map(int, one["id"].removeprefix("v").split("."))) for one in found]
    assert ids == sorted(ids)
    assert [one["status"] for one in found][-1] == "CURRENT"
    assert found[-1]["links"][0]["href"].endswith("/load-balancer/v2.0")


def test_there_is_one_provider_which_says_what_can_be_chosen(
    demo: Connection, raw: Raw, raw_admin: Raw
) -> None:
    assert [one.name for one in demo.load_balancer.providers()] == ["kumoi"]
    assert raw("GET", "lbaas/providers?name=x").json() == {"providers": []}
    path = "lbaas/providers/kumoi"
    for words, names in (
        ("flavor_capabilities", ["loadbalancer_topology"]),
        ("availability_zone_capabilities", ["compute_zone", "management_network"]),
    ):
        found = raw_admin("GET", f"{path}/{words}?fields=name").json()
        assert found == {words: [{"name": name} for name in names]}
        assert raw("GET", f"{path}/{words}").status_code == 403
        assert raw_admin.fault("GET", f"lbaas/providers/amphora/{words}")[0] == 404


def test_there_are_no_amphorae(raw: Raw, raw_admin: Raw) -> None:
    assert raw_admin("GET", "octavia/amphorae").json() == {"amphorae": []}
    assert raw("GET", "octavia/amphorae").status_code == 403
    for method, path in (
        ("GET", "x"),
        ("GET", "x/stats"),
        ("PUT", "x/config"),
        ("PUT", "x/failover"),
        ("DELETE", "x"),
    ):
        assert raw_admin.fault(method, f"octavia/amphorae/{path}")[0] == 404
